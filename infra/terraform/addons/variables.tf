# The first ones are what ../aws gives: terraform output -json addons.

variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "account_id" {
  description = "Account that owns the buckets."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster."
  type        = string
}

variable "cluster_endpoint" {
  description = "URL of the Kubernetes API."
  type        = string
}

variable "node_role_name" {
  description = "Role of Karpenter's nodes."
  type        = string
}

variable "interruptions" {
  description = "Queue that tells Karpenter of interruptions."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the nodes."
  type        = string
}

variable "service_accounts" {
  description = "Kubernetes service accounts that have the roles."
  type        = object({ worker = string, submit = string, bridge = string })
}

variable "queue_prefix" {
  description = "Scriptorium's queue.prefix."
  type        = string
}

variable "broker_host" {
  description = "Host of RabbitMQ."
  type        = string
}

variable "sources" {
  description = "worker.sources."
  type        = list(string)
}

variable "outputs" {
  description = "worker.outputs."
  type        = list(string)
}

variable "bridge" {
  description = "Whether uploads become transcripts."
  type        = bool
}

# The rest is yours to choose.

variable "namespace" {
  description = "Namespace of the chart. It exists already, with the secrets."
  type        = string
}

variable "kubeconfig" {
  description = "The kubeconfig with the cluster."
  type        = string
  default     = "~/.kube/config"
}

variable "kubeconfig_context" {
  description = "Its context of the cluster: as aws eks update-kubeconfig --alias names it."
  type        = string
}

variable "karpenter_version" {
  description = "Version of Karpenter. Compare the permissions in ../modules/karpenter before another minor version."
  type        = string
  default     = "1.15.0"
}

variable "keda_version" {
  description = "Version of KEDA's chart."
  type        = string
  default     = "2.18.0"
}

variable "values_files" {
  description = "Files with further values of the chart helm/scriptorium, the last one deciding."
  type        = list(string)
  default     = []
}

variable "bridge_rules" {
  description = "Which uploads become which transcripts: docs/operations.md, \"Uploads become transcripts\"."
  type = list(object({
    source    = string
    output    = string
    name      = optional(string)
    include   = optional(list(string))
    exclude   = optional(list(string))
    all_files = optional(bool)
    lane      = optional(string)
  }))
  default = []
}

variable "pools" {
  description = "Pools of workers, as in the chart: [{ name = \"default\", recognizer = \"whisper-small.en\" }]."
  type        = any
  default     = [{ name = "default" }]
}

variable "nodes" {
  description = "Nodes of the workers: image (an alias of Karpenter), disk_gib, and cpu_limit, the most vCPUs of all of them."
  type = object({
    image     = optional(string, "al2023@latest")
    disk_gib  = optional(number, 80)
    cpu_limit = optional(number, 256)
  })
  default = {}
}

variable "tags" {
  description = "Further tags of the nodes."
  type        = map(string)
  default     = {}
}
