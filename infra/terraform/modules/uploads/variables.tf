variable "name" {
  description = "Prefix of the names here."
  type        = string
}

variable "recordings_arn" {
  description = "Bucket whose uploads are forwarded."
  type        = string
}

variable "recordings_id" {
  description = "Name of that bucket, if notify."
  type        = string
}

variable "notify" {
  description = "Whether the notifications of that bucket are set here, which replaces all that it has."
  type        = bool
}

variable "prefixes" {
  description = "Prefixes of the uploads that are announced. None may begin with another, which S3 refuses."
  type        = list(string)
}

variable "queue_prefix" {
  description = "Scriptorium's queue.prefix."
  type        = string
}

variable "broker_host" {
  description = "Host of RabbitMQ's management API."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets from which the broker and Secrets Manager can be reached."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts the secret."
  type        = string
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "alarm_actions" {
  description = "ARNs, such as topics, that are told of alarms."
  type        = list(string)
}
