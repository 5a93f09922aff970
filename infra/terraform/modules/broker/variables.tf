variable "name" {
  description = "Name of the broker."
  type        = string
}

variable "engine_version" {
  description = "Version of RabbitMQ."
  type        = string
}

variable "instance_type" {
  description = "Instance type of each node of the broker."
  type        = string
}

variable "deployment" {
  description = "CLUSTER_MULTI_AZ or SINGLE_INSTANCE."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Three private subnets or more, the first three in different zones; a single instance uses the first."
  type        = list(string)
}

variable "client_security_groups" {
  description = "Security groups that may connect, by a name for each."
  type        = map(string)
}

variable "bootstrap_password" {
  description = "First password of the user bootstrap."
  type        = string
  sensitive   = true
}
