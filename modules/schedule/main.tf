resource "aws_cloudwatch_event_rule" "this" {
  name                = "${var.name}_tick"
  description         = "Wakes the Orchestrator and the Scavenger of ${var.name} every minute."
  schedule_expression = "rate(1 minute)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = var.functions

  rule      = aws_cloudwatch_event_rule.this.name
  target_id = each.key
  arn       = each.value.arn
  input     = jsonencode({ tick = true })

  # Without the permission Lambda refuses EventBridge's first ticks.
  depends_on = [aws_lambda_permission.this]
}

resource "aws_lambda_permission" "this" {
  for_each = var.functions

  statement_id  = aws_cloudwatch_event_rule.this.name
  action        = "lambda:InvokeFunction"
  function_name = each.value.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this.arn
}
