variable "runtime" {
  description = "The Essentials' package, as `sosw package` builds it, and its version."
  type = object({
    package = string
    version = string
  })
  nullable = false
}

variable "workers" {
  description = "The Workers by name: the path of the zip that each runs from, and its handler."
  type        = map(object({ package = string, handler = string }))
  nullable    = false
}

variable "max_concurrency" {
  description = "Most tasks of each Worker that run at once."
  type        = number
  nullable    = false
}
