output "names" {
  description = "Names of the alarms."
  value = sort(concat(
    [
      aws_cloudwatch_metric_alarm.dead_task.alarm_name,
      aws_cloudwatch_metric_alarm.heartbeat_missing.alarm_name,
      aws_cloudwatch_metric_alarm.invokes_refused.alarm_name,
      aws_cloudwatch_metric_alarm.rejected_jobs.alarm_name,
      aws_cloudwatch_metric_alarm.ticks_failed.alarm_name,
    ],
    [for alarm in aws_cloudwatch_metric_alarm.across_essentials : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.work_failures : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.failures : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.iterator_age : alarm.alarm_name],
  ))
}
