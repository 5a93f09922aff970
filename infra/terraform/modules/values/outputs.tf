output "karpenter" {
  description = "Values of Karpenter's chart."
  value       = yamlencode(local.karpenter)
}

output "nodes" {
  description = "Values of the chart addons/nodes."
  value       = yamlencode(local.nodes)
}

output "scriptorium" {
  description = "Values of the chart helm/scriptorium."
  value       = yamlencode(local.scriptorium)
}
