variable "cluster_name" {
  description = "Name of the cluster, and prefix of the roles' names."
  type        = string
}

variable "namespace" {
  description = "Namespace of the chart."
  type        = string
}

variable "service_accounts" {
  description = "Kubernetes service accounts by role: worker, submit, bridge."
  type        = object({ worker = string, submit = string, bridge = string })
}

variable "recordings_arn" {
  description = "Bucket of the recordings."
  type        = string
}

variable "recordings_prefixes" {
  description = "Prefixes that workers read recordings from, as in worker.sources; one empty prefix: the whole bucket."
  type        = list(string)
}

variable "transcripts_arn" {
  description = "Bucket of the transcripts."
  type        = string
}

variable "outputs" {
  description = "Prefixes that transcripts and records are written below, as in worker.outputs; one empty prefix: the whole bucket."
  type        = list(string)
}

variable "kms_key_arns" {
  description = "Keys that encrypt the buckets."
  type        = list(string)
}
