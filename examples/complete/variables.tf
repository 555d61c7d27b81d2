variable "name" {
  description = "Prefix of all names."
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
  description = "The simulated weather station of `weather_collect`: its response time, the days of the month on which the first attempt fails, and the day (YYYY-MM-DD) on which the first attempt ends the process."
  type = object({
    answers_after_seconds = optional(number, 0.5)
    down_on_days_of_month = optional(list(number), [7, 21])
    kills_on              = optional(string, "2012-06-15")
  })
  default  = {}
  nullable = false
}
