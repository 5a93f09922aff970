//! A rule of the bridge: which uploads become which jobs.

use anyhow::Context;
use app::config::BridgeRule;
use job::{Batch, BatchId, Job, Selected, Upload, records_prefix, stem};
use location::Location;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{UsageError, filter::Filter};

/// Length of a date in RFC 3339.
const DATE_LEN: usize = "2026-11-26".len();

/// A rule, checked.
#[derive(Debug)]
pub(super) struct Rule {
    config: BridgeRule,
    source: Location,
    output: Location,
    filter: Filter,
}

impl Rule {
    /// # Errors
    ///
    /// [`UsageError`], with what is wrong in the rule with this number.
    pub(super) fn new(number: usize, config: BridgeRule) -> Result<Self, UsageError> {
        let wrong = |what: String| UsageError(format!("bridge.rules, rule {number}: {what}"));
        let prefix = |name: &str, uri: &str| {
            let parsed = uri.parse::<Location>();
            parsed
                .map(|location| location.as_prefix())
                .map_err(|error| wrong(format!("{name} {error}")))
        };
        let source = prefix("source", &config.source)?;
        if !matches!(source, Location::S3 { .. }) {
            return Err(wrong(format!(
                "source {}: only s3:// prefixes are notified",
                config.source
            )));
        }
        let output = prefix("output", &config.output)?;
        let selected = Selected {
            all_files: config.all_files,
            include: config.include.clone(),
            exclude: config.exclude.clone(),
            ..Selected::default()
        };
        let filter = Filter::new(&selected).map_err(|error| wrong(error.to_string()))?;
        config.options.check().map_err(|error| wrong(format!("options: {error}")))?;
        let names_the_recording =
            ["{path}", "{stem}"].iter().any(|part| config.name.contains(part));
        if !names_the_recording || config.name.starts_with('/') {
            let name = &config.name;
            return Err(wrong(format!(
                "name {name:?} must contain {{path}} or {{stem}} and not begin with a slash, or all \
                 recordings would share one transcript"
            )));
        }
        Ok(Self { config, source, output, filter })
    }

    pub(super) fn lane(&self) -> queue::Lane {
        self.config.lane
    }

    /// Returns the path of an upload below the rule's source; `None` if it is elsewhere.
    pub(super) fn path(&self, upload: &Upload) -> Option<String> {
        let location = Location::s3(&upload.bucket, &upload.key).ok()?;
        let path = location.relative_to(&self.source)?;
        (!path.is_empty() && !path.ends_with('/')).then(|| path.to_owned())
    }

    /// Returns whether an upload with this path is a recording that the rule takes.
    pub(super) fn takes(&self, path: &str) -> bool {
        self.filter.reason_in_folder(path, None).is_none()
    }

    /// Returns the batch of a day. Everybody who applies the rule to an upload finds the same batch, so
    /// that a notification that comes twice makes one job.
    pub(super) fn batch(&self, day: OffsetDateTime) -> Batch {
        let day = day.to_offset(time::UtcOffset::UTC).replace_time(time::Time::MIDNIGHT);
        let BridgeRule { source, output, .. } = &self.config;
        let id = BatchId::derived(day, &format!("{source}\0{output}"));
        let mut batch = Batch::new(vec![source.clone()], self.output.to_string());
        batch.id = id;
        batch
    }

    /// Returns the job of an upload.
    ///
    /// # Errors
    ///
    /// The name of the transcript, or the job, is not valid.
    pub(super) fn job(&self, upload: &Upload, path: &str, batch: &BatchId) -> anyhow::Result<Job> {
        let time = upload.created_at.to_offset(time::UtcOffset::UTC).format(&Rfc3339)?;
        let date = time.get(..DATE_LEN).unwrap_or(&time);
        let name = self
            .config
            .name
            .replace("{date}", date)
            .replace("{stem}", stem(path).unwrap_or(path))
            .replace("{path}", path);
        let output = self.output.join(&name).context("name of the transcript")?;
        let source = Location::s3(&upload.bucket, &upload.key)?.to_string();
        let records = records_prefix(&self.output.to_string(), batch);
        let options = self.config.options.clone();
        let job = Job::new(batch.clone(), source, output.to_string(), records, options);
        job.validate()?;
        Ok(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> BridgeRule {
        serde_json::from_str(
            r#"{"source": "s3://calls/in/", "output": "s3://texts/out", "name": "{date}/{stem}",
                "exclude": ["tests/"], "lane": "urgent", "options": {"language": "en"}}"#,
        )
        .unwrap()
    }

    fn at(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    fn upload(bucket: &str, key: &str) -> Upload {
        let created_at = at("2026-11-26T23:30:00-02:00");
        Upload { bucket: bucket.to_owned(), key: key.to_owned(), size: None, created_at }
    }

    #[test]
    fn an_upload_becomes_a_job() {
        let rule = Rule::new(1, config()).unwrap();
        let upload = upload("calls", "in/a/b c.wav");
        let path = rule.path(&upload).unwrap();
        assert!(rule.takes(&path));
        let batch = rule.batch(upload.created_at);
        let job = rule.job(&upload, &path, &batch.id).unwrap();
        assert_eq!(job.source.reveal(), "s3://calls/in/a/b c.wav");
        assert_eq!(job.output, "s3://texts/out/2026-11-27/a/b c");
        assert_eq!(job.options.language.as_deref(), Some("en"));
        assert_eq!(rule.lane(), queue::Lane::Urgent);
        // The same notification, an hour later, makes the same job.
        let again = rule.batch(at("2026-11-27T22:00:00Z"));
        assert_eq!(rule.job(&upload, &path, &again.id).unwrap().id, job.id);
        let next_day = rule.batch(at("2026-11-28T00:00:00Z"));
        assert_ne!(next_day.id, batch.id);
    }

    #[test]
    fn other_files_are_left_alone() {
        let rule = Rule::new(1, config()).unwrap();
        for (bucket, key) in [("other", "in/a.wav"), ("calls", "out/a.wav"), ("calls", "in/")] {
            assert_eq!(rule.path(&upload(bucket, key)), None, "{bucket}/{key}");
        }
        assert!(!rule.takes("a.json") && !rule.takes("tests/a.wav"));
    }

    #[test]
    fn wrong_rules_are_refused() {
        let refused = |change: fn(&mut BridgeRule)| {
            let mut config = config();
            change(&mut config);
            Rule::new(3, config).unwrap_err().to_string()
        };
        for error in [
            refused(|rule| rule.source = "calls".to_owned()),
            refused(|rule| rule.source = "file:///calls/".to_owned()),
            refused(|rule| rule.output = "texts".to_owned()),
            refused(|rule| rule.name = "{date}".to_owned()),
            refused(|rule| rule.name = "/{path}".to_owned()),
            refused(|rule| rule.include = vec!["[".to_owned()]),
        ] {
            assert!(error.starts_with("bridge.rules, rule 3: "), "{error}");
        }
    }
}
