# What is installed into the cluster: Karpenter with the workers' nodes, KEDA, and Scriptorium. The values are
# computed by ../modules/values.

module "values" {
  source            = "../modules/values"
  name              = var.name
  region            = var.region
  account_id        = var.account_id
  cluster_name      = var.cluster_name
  cluster_endpoint  = var.cluster_endpoint
  node_role_name    = var.node_role_name
  interruptions     = var.interruptions
  subnet_ids        = var.subnet_ids
  security_group_id = var.security_group_id
  service_accounts  = var.service_accounts
  queue_prefix      = var.queue_prefix
  broker_host       = var.broker_host
  sources           = var.sources
  outputs           = var.outputs
  bridge            = var.bridge
  bridge_rules      = var.bridge_rules
  pools             = var.pools
  nodes             = var.nodes
  tags              = var.tags
}

# Helm never upgrades the definitions that are in a chart, so Karpenter has a chart of them.
resource "helm_release" "karpenter_definitions" {
  name       = "karpenter-crd"
  namespace  = "kube-system"
  repository = "oci://public.ecr.aws/karpenter"
  chart      = "karpenter-crd"
  version    = var.karpenter_version
}

resource "helm_release" "karpenter" {
  name       = "karpenter"
  namespace  = "kube-system"
  repository = "oci://public.ecr.aws/karpenter"
  chart      = "karpenter"
  version    = var.karpenter_version
  skip_crds  = true
  values     = [module.values.karpenter]

  depends_on = [helm_release.karpenter_definitions]
}

resource "helm_release" "nodes" {
  name      = "${var.name}-nodes"
  namespace = "kube-system"
  chart     = "${path.module}/nodes"
  values    = [module.values.nodes]

  depends_on = [helm_release.karpenter]
}

resource "helm_release" "keda" {
  name             = "keda"
  namespace        = "keda"
  create_namespace = true
  repository       = "https://kedacore.github.io/charts"
  chart            = "keda"
  version          = var.keda_version
}

# Its secrets exist before (README.md, step 4): so does the namespace.
resource "helm_release" "scriptorium" {
  name      = var.name
  namespace = var.namespace
  chart     = "${path.module}/../../../helm/scriptorium"
  values    = concat([module.values.scriptorium], [for file in var.values_files : file(file)])
  # Without work there are no workers to wait for.
  wait = false

  depends_on = [helm_release.keda, helm_release.nodes]
}
