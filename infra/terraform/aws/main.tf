# Everything that Scriptorium needs of AWS. What is installed into the cluster is in ../addons.

data "aws_caller_identity" "current" {}

locals {
  vpc_id     = var.network == null ? module.network[0].vpc_id : var.network.vpc_id
  subnet_ids = var.network == null ? module.network[0].private_subnet_ids : var.network.private_subnet_ids
}

module "network" {
  source       = "../modules/network"
  count        = var.network == null ? 1 : 0
  name         = var.name
  cidr         = var.vpc_cidr
  nat_per_zone = var.nat_per_zone
}

module "cluster" {
  source                = "../modules/cluster"
  name                  = var.name
  kubernetes_version    = var.kubernetes_version
  subnet_ids            = local.subnet_ids
  endpoint_cidrs        = var.endpoint_cidrs
  system_instance_types = var.system_instance_types
  log_days              = var.log_days
}

module "karpenter" {
  source       = "../modules/karpenter"
  cluster_name = module.cluster.name
  cluster_arn  = module.cluster.arn
}

# Encrypts both buckets, and the secret of the forwarder.
resource "aws_kms_key" "data" {
  #checkov:skip=CKV2_AWS_64:The default policy leaves it to IAM who may use the key; module access does
  description         = "Recordings and transcripts of ${var.name}"
  enable_key_rotation = true
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.data.key_id
}

module "buckets" {
  source                 = "../modules/buckets"
  recordings_name        = var.recordings_bucket
  create_recordings      = var.create_recordings_bucket
  transcripts_name       = var.transcripts_bucket
  transcripts_versioning = var.transcripts_versioning
  outputs                = var.outputs
  records_days           = var.records_days
  old_version_days       = var.old_version_days
  kms_key_arn            = aws_kms_key.data.arn
}

module "access" {
  source              = "../modules/access"
  cluster_name        = module.cluster.name
  namespace           = var.namespace
  service_accounts    = var.service_accounts
  recordings_arn      = module.buckets.recordings_arn
  recordings_prefixes = var.recordings_prefixes
  transcripts_arn     = module.buckets.transcripts_arn
  outputs             = var.outputs
  kms_key_arns        = compact([aws_kms_key.data.arn, var.recordings_kms_key_arn])
}

module "broker" {
  source             = "../modules/broker"
  count              = var.broker == null ? 0 : 1
  name               = var.name
  engine_version     = var.broker.engine_version
  instance_type      = var.broker.instance_type
  deployment         = var.broker.deployment
  vpc_id             = local.vpc_id
  subnet_ids         = local.subnet_ids
  bootstrap_password = var.broker_bootstrap_password
  client_security_groups = merge(
    { nodes = module.cluster.security_group_id },
    var.uploads ? { forwarder = module.uploads[0].security_group_id } : {},
  )
}

module "uploads" {
  source         = "../modules/uploads"
  count          = var.uploads ? 1 : 0
  name           = var.name
  recordings_arn = module.buckets.recordings_arn
  recordings_id  = module.buckets.recordings_id
  notify         = var.create_recordings_bucket
  prefixes       = var.recordings_prefixes
  queue_prefix   = var.queue_prefix
  broker_host    = module.broker[0].host
  vpc_id         = local.vpc_id
  subnet_ids     = local.subnet_ids
  kms_key_arn    = aws_kms_key.data.arn
  log_days       = var.log_days
  alarm_actions  = var.alarm_actions
}
