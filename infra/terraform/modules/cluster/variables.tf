variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets for the control plane's interfaces and the nodes."
  type        = list(string)
}

variable "endpoint_cidrs" {
  description = "Addresses that may reach the Kubernetes API from the internet; empty: none."
  type        = list(string)
}

variable "system_instance_types" {
  description = "arm64 instance types of the system node group."
  type        = list(string)
}

variable "log_days" {
  description = "Days that logs are kept."
  type        = number
}
