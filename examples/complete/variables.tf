variable "name" {
  description = "Prefix of everything that the module makes."
  type        = string
  default     = "sosw"
  nullable    = false
}

variable "runtime" {
  description = "The Essentials' package, as `sosw package` builds it, and its version."
  type = object({
    package = string
    version = string
  })
  nullable = false
}

variable "workers_package" {
  description = "Path of the Workers' zip, as `python -m examples.complete.build` builds it."
  type        = string
  default     = "../../build/weather-workers.zip"
  nullable    = false
}

variable "max_concurrency" {
  description = "Most tasks of `weather_collect` that run at once."
  type        = number
  default     = 10
  nullable    = false
}

variable "station" {
  description = "The weather station that `weather_collect` asks: after how long it answers, on which days of the month it is down at first, and on which day (YYYY-MM-DD) it takes the process with it at first."
  type = object({
    answers_after_seconds = optional(number, 0.5)
    down_on_days_of_month = optional(list(number), [7, 21])
    kills_on              = optional(string, "2012-06-15")
  })
  default  = {}
  nullable = false
}
