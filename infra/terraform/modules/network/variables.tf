variable "name" {
  description = "Name of the VPC, and prefix of the names of its parts."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone instead of one for all: survives the loss of a zone, costs three times as much."
  type        = bool
}
