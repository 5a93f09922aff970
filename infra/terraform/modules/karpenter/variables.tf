variable "cluster_name" {
  description = "Name of the cluster, and prefix of the names here."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the cluster."
  type        = string
}
