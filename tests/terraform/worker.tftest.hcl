mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

variables {
  orchestrator = {
    name                          = "sosw"
    registry_table_name           = "sosw_registry"
    orchestrator_role_arn         = "arn:aws:iam::111122223333:role/sosw_orchestrator_eu-central-1"
    worker_assistant_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:sosw_worker_assistant"
  }
  function_name   = "resize"
  role_name       = "resize-role"
  timeout_seconds = 20
  max_concurrency = 5
}

run "defaults" {
  command = plan

  module {
    source = "./modules/worker"
  }

  assert {
    condition     = output.worker_id == "resize" && output.function_name == "resize"
    error_message = "A Worker is named after its function."
  }

  assert {
    condition = jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S) == {
      worker_id             = "resize"
      function_name         = "resize"
      timeout_seconds       = 20
      max_concurrency       = 5
      labels                = {}
      report_by             = "code"
      max_event_age_seconds = 60
      retry                 = { max_attempts = 3, base_delay_seconds = 30, max_delay_seconds = 3600 }
      health_metrics        = {}
      job_schemas           = {}
      queue_shards          = 1
    }
    error_message = "The registration holds the inputs under the same names."
  }

  assert {
    condition = (
      aws_dynamodb_table_item.registration.table_name == "sosw_registry"
      && jsondecode(aws_dynamodb_table_item.registration.item).pk == { S = "worker" }
      && jsondecode(aws_dynamodb_table_item.registration.item).sk == { S = "resize" }
    )
    error_message = "The registration is one item of the registry."
  }

  assert {
    condition     = jsondecode(aws_dynamodb_table_item.registration.item).require_token == { BOOL = true }
    error_message = "Reports need their token, which stands beside the spec."
  }

  assert {
    condition = (
      aws_dynamodb_table_item.function.table_name == "sosw_registry"
      && jsondecode(aws_dynamodb_table_item.function.item) == { pk = { S = "function" }, sk = { S = "resize:$LATEST" }, worker_id = { S = "resize" } }
    )
    error_message = "The function is taken, for one Worker."
  }

  assert {
    condition = (
      aws_lambda_permission.orchestrator.function_name == "resize"
      && aws_lambda_permission.orchestrator.action == "lambda:InvokeFunction"
      && aws_lambda_permission.orchestrator.principal == var.orchestrator.orchestrator_role_arn
    )
    error_message = "The Orchestrator's role, and nobody else, may invoke the Worker."
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 0
      && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 60
    )
    error_message = "Lambda neither retries by itself nor delivers old attempts."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == var.orchestrator.worker_assistant_function_arn
    error_message = "A crash reaches the WorkerAssistant."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this.destination_config[0].on_success) == 0
    error_message = "A Worker that reports by code is not reported a second time."
  }

  assert {
    condition     = aws_iam_role_policy.report[0].role == "resize-role" && aws_iam_role_policy.report[0].name == "sosw_report_resize"
    error_message = "The function's role gets the right to report."
  }

  assert {
    condition = (
      jsonencode(data.aws_iam_policy_document.report.statement[*].actions) == jsonencode([["lambda:InvokeFunction"], ["ssm:GetParameter"]])
      && jsonencode(data.aws_iam_policy_document.report.statement[*].resources) == jsonencode([
        [var.orchestrator.worker_assistant_function_arn],
        ["arn:aws:ssm:eu-central-1:111122223333:parameter/sosw/resize/config"],
      ])
    )
    error_message = "The rights are to invoke the WorkerAssistant and to read the Worker's own configuration, and nothing more."
  }

  assert {
    condition     = length(aws_ssm_parameter.config) == 0
    error_message = "Without a configuration there is no parameter."
  }

  assert {
    condition     = output.config_parameter_arn == "arn:aws:ssm:eu-central-1:111122223333:parameter/sosw/resize/config"
    error_message = "Roles that are managed elsewhere are granted the right by this ARN."
  }
}

run "configuration" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    orchestrator = {
      name                          = "media"
      registry_table_name           = "media_registry"
      orchestrator_role_arn         = "arn:aws-cn:iam::111122223333:role/media_orchestrator_cn-north-1"
      worker_assistant_function_arn = "arn:aws-cn:lambda:cn-north-1:111122223333:function:media_worker_assistant"
    }
    function_name = "arn:aws-cn:lambda:cn-north-1:111122223333:function:resize"
    worker_id     = "media.resize"
    qualifier     = "live"
    config        = { width = 800, source = { bucket = "images", prefixes = ["a/", "b/"] }, dry = false, limit = null }
  }

  assert {
    condition     = aws_ssm_parameter.config[0].name == "/media/resize/config" && aws_ssm_parameter.config[0].type == "SecureString"
    error_message = "The parameter is where the Worker looks for it, whatever the Worker's id and alias, and encrypted."
  }

  assert {
    condition     = jsondecode(aws_ssm_parameter.config[0].value) == { width = 800, source = { bucket = "images", prefixes = ["a/", "b/"] }, dry = false, limit = null }
    error_message = "Values keep their types."
  }

  assert {
    condition     = jsonencode(data.aws_iam_policy_document.report.statement[1].resources) == jsonencode(["arn:aws-cn:ssm:cn-north-1:111122223333:parameter/media/resize/config"])
    error_message = "The role may read what was written."
  }
}

run "configuration_of_secrets" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    config = sensitive({ password = "s3cr3t" })
  }

  assert {
    condition     = length(aws_ssm_parameter.config) == 1
    error_message = "Terraform plans a configuration that it may not show."
  }
}

run "configuration_of_the_largest_size" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    config = { text = join("", [for i in range(1021) : "xxxx"]) }
  }

  assert {
    condition     = length(aws_ssm_parameter.config[0].value) == 4095
    error_message = "SSM takes it in its standard tier."
  }
}

run "configuration_of_a_role_managed_elsewhere" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    role_name     = null
    attach_policy = false
    config        = {}
  }

  assert {
    condition     = length(aws_iam_role_policy.report) == 0 && aws_ssm_parameter.config[0].value == "{}"
    error_message = "The parameter is written, and the role is left alone."
  }
}

run "everything_given" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id             = "media.resize"
    qualifier             = "live"
    labels                = { team = "media" }
    report_by             = "destination"
    require_token         = false
    max_event_age_seconds = 300
    retry                 = { max_attempts = 5, base_delay_seconds = 0.5 }
    health_metrics = {
      database = { namespace = "AWS/RDS", metric_name = "CPUUtilization", dimensions = { DBInstanceIdentifier = "main" }, levels = { "4" = 40, "3" = 60, "2" = 80 } }
      memory   = { namespace = "AWS/RDS", metric_name = "FreeableMemory", statistic = "Minimum", period_seconds = 300, better = "high", levels = { "4" = 8, "1" = 1.5 } }
    }
    job_schemas    = { default = { chunkable_attrs = ["section", "store"] } }
    job_schemas_07 = { old = { chunkable_attrs = [["shop", {}], ["product", {}]] } }
    queue_shards   = 4
  }

  assert {
    condition     = output.worker_id == "media.resize" && output.function_name == "resize:live"
    error_message = "Worker and alias are as given."
  }

  assert {
    condition = jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S) == {
      worker_id             = "media.resize"
      function_name         = "resize:live"
      timeout_seconds       = 20
      max_concurrency       = 5
      labels                = { team = "media" }
      report_by             = "destination"
      max_event_age_seconds = 300
      retry                 = { max_attempts = 5, base_delay_seconds = 0.5, max_delay_seconds = 3600 }
      health_metrics = {
        database = {
          namespace      = "AWS/RDS"
          metric_name    = "CPUUtilization"
          dimensions     = { DBInstanceIdentifier = "main" }
          statistic      = "Average"
          period_seconds = 60
          better         = "low"
          levels         = { "4" = 40, "3" = 60, "2" = 80 }
        }
        memory = {
          namespace      = "AWS/RDS"
          metric_name    = "FreeableMemory"
          dimensions     = {}
          statistic      = "Minimum"
          period_seconds = 300
          better         = "high"
          levels         = { "4" = 8, "1" = 1.5 }
        }
      }
      job_schemas = {
        default = { chunkable_attrs = ["section", "store"] }
        old     = { chunkable_attrs = ["shop", "product"] }
      }
      queue_shards = 4
    }
    error_message = "The registration holds the inputs under the same names."
  }

  assert {
    condition = jsonencode(output.job_schemas) == jsonencode({
      default = { chunkable_attrs = ["section", "store"] }
      old     = { chunkable_attrs = ["shop", "product"] }
    })
    error_message = "The job module gets the schemas in one form."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_success[0].destination == var.orchestrator.worker_assistant_function_arn
    error_message = "Lambda reports the success."
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.this.qualifier == "live"
      && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 300
      && aws_lambda_permission.orchestrator.qualifier == "live"
    )
    error_message = "Permission and configuration are those of the alias."
  }

  assert {
    condition     = jsondecode(aws_dynamodb_table_item.registration.item).require_token == { BOOL = false }
    error_message = "Reports need no token."
  }

  assert {
    condition     = jsondecode(aws_dynamodb_table_item.function.item) == { pk = { S = "function" }, sk = { S = "resize:live" }, worker_id = { S = "media.resize" } }
    error_message = "Only the alias is taken."
  }
}

run "function_by_arn" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    function_name = "arn:aws:lambda:eu-central-1:111122223333:function:resize"
  }

  assert {
    condition     = output.worker_id == "resize" && output.function_name == "arn:aws:lambda:eu-central-1:111122223333:function:resize"
    error_message = "The Worker's id is the name in the ARN."
  }

  assert {
    condition     = jsondecode(aws_dynamodb_table_item.function.item).sk.S == "resize:$LATEST"
    error_message = "A function is the same by its name and by its ARN."
  }
}

run "role_managed_elsewhere" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    role_name     = null
    attach_policy = false
  }

  assert {
    condition     = length(aws_iam_role_policy.report) == 0
    error_message = "The role is left alone."
  }
}

run "worker_id_that_no_policy_can_be_named_after" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id = "media:resize"
  }

  assert {
    condition     = aws_iam_role_policy.report[0].name == "sosw_report_media_resize_${substr(sha256("media:resize"), 0, 16)}"
    error_message = "The policy is named after the Worker as far as IAM allows, and like that of no other."
  }
}

run "worker_id_longer_than_a_policys_name" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    worker_id = join("", [for i in range(140) : "x"])
  }

  assert {
    condition     = can(regex("^sosw_report_x{99}_[0-9a-f]{16}$", aws_iam_role_policy.report[0].name)) && length(aws_iam_role_policy.report[0].name) == 128
    error_message = "The policy's name is as long as IAM allows."
  }
}

run "health_metric_of_the_longest_names" {
  command = plan

  module {
    source = "./modules/worker"
  }

  variables {
    health_metrics = {
      database = {
        namespace   = join("", [for i in range(255) : "x"])
        metric_name = join("", [for i in range(255) : "x"])
        dimensions = merge(
          { for i in range(29) : "dimension ${i}" => "a value: ${i}" },
          { (join("", [for i in range(255) : "x"])) = join("", [for i in range(1024) : "x"]) },
        )
        levels = { "4" = 40 }
      }
    }
  }

  assert {
    condition     = length(jsondecode(jsondecode(aws_dynamodb_table_item.registration.item).spec.S).health_metrics.database.dimensions) == 30
    error_message = "What CloudWatch takes is registered."
  }
}
