variable "recordings_name" {
  description = "Name of the bucket of the recordings."
  type        = string
}

variable "create_recordings" {
  description = "Whether to create that bucket. One that exists is left as it is."
  type        = bool
}

variable "transcripts_name" {
  description = "Name of the bucket of the transcripts."
  type        = string
}

variable "transcripts_versioning" {
  description = "Whether old versions of transcripts, and of records, are kept. S3 can suspend this later, but not undo it."
  type        = bool
}

variable "outputs" {
  description = "Prefixes that are given to --out, each empty or with a slash at the end. The records of batches are below them."
  type        = list(string)
}

variable "records_days" {
  description = "Days after which records of batches expire; 0: never."
  type        = number
}

variable "old_version_days" {
  description = "Days after which old versions are deleted."
  type        = number
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects."
  type        = string
}
