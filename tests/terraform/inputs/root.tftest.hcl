variables {
  runtime = {
    package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
    version = "1.2.3"
  }
}

run "name_too_long" {
  command = plan

  variables {
    name = "a-name-that-has-one-char-too-many"
  }

  expect_failures = [var.name]
}

run "name_with_a_dot" {
  command = plan

  variables {
    name = "sosw.prod"
  }

  expect_failures = [var.name]
}

run "no_package" {
  command = plan

  variables {
    runtime = { version = "1.2.3" }
  }

  expect_failures = [var.runtime]
}

run "two_packages" {
  command = plan

  variables {
    runtime = {
      package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
      s3      = { bucket = "artifacts", key = "sosw-runtime-1.2.3-py313-arm64.zip", object_version = "v1" }
      version = "1.2.3"
    }
  }

  expect_failures = [var.runtime]
}

run "package_of_another_version" {
  command = plan

  variables {
    runtime = {
      package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
      version = "1.2.4"
    }
  }

  expect_failures = [var.runtime]
}

run "package_of_a_longer_version" {
  command = plan

  variables {
    runtime = {
      package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
      version = "1.2"
    }
  }

  expect_failures = [var.runtime]
}

run "package_of_another_version_in_s3" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw/sosw-runtime-1.2.3-py312-x86_64.zip", object_version = "v1" }
      version = "2.0.0"
    }
  }

  expect_failures = [var.runtime]
}

run "package_without_platform" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw-runtime-1.2.3.zip", object_version = "v1" }
      version = "1.2.3"
    }
  }

  expect_failures = [var.runtime]
}

run "package_in_s3_that_may_change_unseen" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw-runtime-1.2.3-py313-arm64.zip" }
      version = "1.2.3"
    }
  }

  expect_failures = [var.runtime]
}

run "hash_in_hexadecimal" {
  command = plan

  variables {
    runtime = {
      s3      = { bucket = "artifacts", key = "sosw-runtime-1.2.3-py313-arm64.zip", source_code_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
      version = "1.2.3"
    }
  }

  expect_failures = [var.runtime]
}

run "package_that_is_not_there" {
  command = plan

  variables {
    runtime = {
      package = "nowhere/sosw-runtime-1.2.3-py313-arm64.zip"
      version = "1.2.3"
    }
  }

  expect_failures = [var.runtime]
}

run "unknown_log_level" {
  command = plan

  variables {
    logging = { level = "info" }
  }

  expect_failures = [var.logging]
}

run "log_retention_that_cloudwatch_does_not_know" {
  command = plan

  variables {
    logging = { retention_days = 31 }
  }

  expect_failures = [var.logging]
}

run "key_by_alias" {
  command = plan

  variables {
    encryption = { kms_key_arn = "alias/aws/sns" }
  }

  expect_failures = [var.encryption]
}

run "key_by_the_arn_of_an_alias" {
  command = plan

  variables {
    encryption = { kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:alias/aws/sns" }
  }

  expect_failures = [var.encryption]
}

run "key_for_unencrypted_tables" {
  command = plan

  variables {
    encryption = { kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd" }
    tables     = { encryption = false }
  }

  expect_failures = [var.tables]
}

run "retention_of_half_a_day" {
  command = plan

  variables {
    closed_tasks_retention_days = 0.5
  }

  expect_failures = [var.closed_tasks_retention_days]
}

run "time_zone_that_is_none" {
  command = plan

  variables {
    time_zone = "+02:00"
  }

  expect_failures = [var.time_zone]
}

run "path_without_slashes" {
  command = plan

  variables {
    iam = { path = "teams/media" }
  }

  expect_failures = [var.iam]
}

run "memory_that_lambda_does_not_have" {
  command = plan

  variables {
    essentials = { scavenger = { memory_mb = 64 } }
  }

  expect_failures = [var.essentials]
}

run "timeout_that_lambda_does_not_have" {
  command = plan

  variables {
    essentials = { scheduler = { timeout_seconds = 1000 } }
  }

  expect_failures = [var.essentials]
}

run "no_concurrency" {
  command = plan

  variables {
    essentials = { worker_assistant = { reserved_concurrency = 0 } }
  }

  expect_failures = [var.essentials]
}

run "topic_under_an_alias" {
  command = plan

  variables {
    alarms = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:oncall", kms_key_arn = "alias/aws/sns" } }
  }

  expect_failures = [var.alarms]
}

run "topic_of_closed_jobs_under_an_alias" {
  command = plan

  variables {
    closed_jobs = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:reports", kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:alias/reports" } }
  }

  expect_failures = [var.closed_jobs]
}

run "fifo_topic" {
  command = plan

  variables {
    alarms = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:oncall.fifo" } }
  }

  expect_failures = [var.alarms]
}

run "misspelled_key_of_a_package" {
  command = plan

  variables {
    runtime = { package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip", version = "1.2.3", pakage = "b.zip" }
  }

  expect_failures = [var.runtime]
}

run "misspelled_key_of_logging" {
  command = plan

  variables {
    logging = { retention = 30 }
  }

  expect_failures = [var.logging]
}

run "misspelled_key_of_encryption" {
  command = plan

  variables {
    encryption = { kms_key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", kms_key = "b" }
  }

  expect_failures = [var.encryption]
}

run "misspelled_key_of_tables" {
  command = plan

  variables {
    tables = { deletion_protecton = true }
  }

  expect_failures = [var.tables]
}

run "misspelled_key_of_iam" {
  command = plan

  variables {
    iam = { permission_boundary_arn = "arn:aws:iam::111122223333:policy/boundary" }
  }

  expect_failures = [var.iam]
}

run "misspelled_key_of_an_essential" {
  command = plan

  variables {
    essentials = { scheduler = { memory = 512 } }
  }

  expect_failures = [var.essentials]
}

run "misspelled_key_of_alarms" {
  command = plan

  variables {
    alarms = { enable = false }
  }

  expect_failures = [var.alarms]
}

run "misspelled_key_of_closed_jobs" {
  command = plan

  variables {
    closed_jobs = { topic = { arn = "arn:aws:sns:eu-central-1:111122223333:reports", kms_arn = "b" } }
  }

  expect_failures = [var.closed_jobs]
}
