output "region" {
  description = "Region of everything."
  value       = var.region
}

output "cluster_name" {
  description = "Name of the cluster: aws eks update-kubeconfig --name."
  value       = module.cluster.name
}

output "cluster_endpoint" {
  description = "URL of the Kubernetes API."
  value       = module.cluster.endpoint
}

output "broker_host" {
  description = "Host of RabbitMQ, for AMQP (port 5671) and the management API (port 443), both with TLS."
  value       = one(module.broker[*].host)
}

output "uploads_queue_arn" {
  description = "Queue for the notifications of a bucket of recordings that existed before."
  value       = one(module.uploads[*].queue_arn)
}

output "uploads_secret_arn" {
  description = "Secret for the forwarder's user in RabbitMQ."
  value       = one(module.uploads[*].secret_arn)
}

output "role_arns" {
  description = "IAM roles of worker, submit and bridge, which their service accounts get by Pod Identity."
  value       = module.access.role_arns
}

# What ../addons reads: write it there with `terraform output -json addons >../addons/aws.auto.tfvars.json`.
output "addons" {
  description = "Variables of the root module addons."
  value = {
    name              = var.name
    region            = var.region
    account_id        = data.aws_caller_identity.current.account_id
    cluster_name      = module.cluster.name
    cluster_endpoint  = module.cluster.endpoint
    node_role_name    = module.karpenter.node_role_name
    interruptions     = module.karpenter.queue_name
    subnet_ids        = local.subnet_ids
    security_group_id = module.cluster.security_group_id
    namespace         = var.namespace
    service_accounts  = var.service_accounts
    queue_prefix      = var.queue_prefix
    broker_host       = one(module.broker[*].host)
    bridge            = var.uploads
    sources           = [for prefix in var.recordings_prefixes : "s3://${var.recordings_bucket}/${prefix}"]
    outputs           = [for prefix in var.outputs : "s3://${var.transcripts_bucket}/${prefix}"]
  }
}
