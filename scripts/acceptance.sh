#!/usr/bin/env bash
# Tries image and chart on a cluster: install, scale from 0 to N and back, hold the pods of work that is not
# acknowledged, upgrade and roll back while scaled, uninstall without leaving anything.
# docs/acceptance.md explains the steps.
#
#   scripts/acceptance.sh [OPTION...]
#
#   --image IMAGE            image to try, REPOSITORY:TAG or REPOSITORY@DIGEST   [default: the chart's]
#   --chart DIR              chart to try                                        [default: helm/scriptorium]
#   --context NAME           context of the KUBECONFIG                           [default: the current one]
#   --namespace NAME         namespace to make for the test                      [default: scriptorium-acceptance]
#   --workers N              workers to scale to, three jobs each                [default: 3]
#   --minutes N              length of each recording                            [default: 29]
#   --install-keda           install KEDA where it is missing, and leave it there
#   --keep                   keep everything, to look at it
#   --skip-without-cluster   exit code 0, with a notice, where no cluster answers
#
# Prints PASS or FAIL for each step. Exit codes: 0 all passed; 1 a step failed; 2 the test could not begin.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image='' chart=helm/scriptorium context='' namespace=scriptorium-acceptance workers=3 minutes=29
install_keda='' keep='' skip=''
release=trial
keda_version=2.18.1
# Seconds that a busy worker is watched, and that an idle one lives on.
hold=${ACCEPTANCE_HOLD:-60} cooldown=180
# How long to sleep where five seconds are meant. The tests of this script do not wait.
tick=${ACCEPTANCE_TICK:-5}

usage() {
    sed -n '2,20s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --image) image=${2:?} && shift ;;
    --chart) chart=${2:?} && shift ;;
    --context) context=${2:?} && shift ;;
    --namespace) namespace=${2:?} && shift ;;
    --workers) workers=${2:?} && shift ;;
    --minutes) minutes=${2:?} && shift ;;
    --install-keda) install_keda=yes ;;
    --keep) keep=yes ;;
    --skip-without-cluster) skip=yes ;;
    *) usage ;;
    esac
    shift
done
services=$namespace-services
jobs=$((workers * 3))
passed=0 started=$SECONDS begun=''
values=$(mktemp)

kube() { kubectl ${context:+--context "$context"} "$@"; }
helm_() { helm ${context:+--kube-context "$context"} --namespace "$namespace" "$@"; }

pass() {
    passed=$((passed + 1))
    printf 'PASS  %s (%d s)\n' "$*" $((SECONDS - started))
    started=$SECONDS
}

fail() {
    printf 'FAIL  %s (%d s)\n' "$*" $((SECONDS - started))
    exit 1
}

cannot_begin() {
    printf 'acceptance.sh: %s\n' "$*" >&2
    exit 2
}

show_state() {
    echo '-- state'
    kube --namespace "$namespace" get pods,deployments,scaledobjects,horizontalpodautoscalers,jobs -o wide || true
    kube --namespace "$namespace" get events --sort-by .lastTimestamp | tail -n 20 || true
    kube --namespace "$namespace" logs --selector "$workers_of_release" --all-containers --tail 20 --prefix || true
    queues || true
}

clean_up() {
    local status=$?
    rm -f "$values"
    [ -n "$begun" ] || exit "$status"
    [ "$status" -eq 0 ] || show_state
    if [ -n "$keep" ]; then
        echo "Kept: the namespaces $namespace and $services. Remove them: kubectl delete namespace $namespace $services"
    else
        kube delete namespace "$namespace" "$services" --ignore-not-found --wait=false || true
    fi
    if [ "$status" -eq 0 ]; then
        printf '%d passed, 0 failed\n' "$passed"
    else
        printf '%d passed, 1 failed; the steps after it did not run\n' "$passed"
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# within SECONDS COMMAND...: waits until COMMAND succeeds.
within() {
    local limit=$1 waited
    shift
    for ((waited = 0; waited <= limit; waited += 5)); do
        if "$@"; then return 0; fi
        sleep "$tick"
    done
    return 1
}

workers_of_release=app.kubernetes.io/instance=$release,app.kubernetes.io/component=worker

# The names of the workers that run and are not being stopped, sorted.
workers() {
    kube --namespace "$namespace" get pods --selector "$workers_of_release" --output \
        jsonpath='{range .items[?(@.status.phase=="Running")]}{.metadata.name} {.metadata.deletionTimestamp}{"\n"}{end}' |
        awk 'NF == 1' | sort
}

worker_objects() {
    kube --namespace "$namespace" get pods --selector "$workers_of_release" --output name
}

queues() {
    kube --namespace "$services" exec deployment/rabbitmq -- rabbitmqctl --quiet --vhost acceptance \
        list_queues --no-table-headers name messages_ready messages_unacknowledged
}

# Messages that wait (column 2) or are not acknowledged (column 3) in the queues of new jobs.
messages() { queues | awk -v column="$1" '$1 ~ /^acceptance\.jobs/ { sum += $column } END { print sum + 0 }'; }

has_workers() { [ "$(workers | wc -l)" -eq "$1" ]; }
has_no_workers() { [ -z "$(worker_objects)" ]; }
all_taken() { [ "$(messages 2)" -eq 0 ] && [ "$(messages 3)" -eq "$jobs" ]; }
ready_scaled_object() {
    [ "$(kube --namespace "$namespace" get scaledobjects --selector "app.kubernetes.io/instance=$release" --output \
        jsonpath='{.items[*].status.conditions[?(@.type=="Ready")].status}')" = True ]
}

tools() { kube --namespace "$services" exec --stdin tools -- sh -s "${@:2}" <"scripts/acceptance/$1"; }

# The namespaces of the test. The chart's enforces what the strictest clusters do.
make_namespaces() {
    local password host=$services.svc
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    kube create namespace "$services"
    begun=yes
    kube create namespace "$namespace"
    kube label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted
    kube --namespace "$services" create secret generic services --from-literal="password=$password"
    kube --namespace "$services" apply --filename scripts/acceptance/services.yaml
    kube --namespace "$namespace" create secret generic broker \
        --from-literal="url=amqp://acceptance:$password@rabbitmq.$host:5672/acceptance" \
        --from-literal="management-url=http://acceptance:$password@rabbitmq.$host:15672/acceptance"
    kube --namespace "$namespace" create secret generic store \
        --from-literal=access-key=acceptance --from-literal="secret-key=$password"
}

write_values() {
    cat >"$values" <<VALUES
broker: {existingSecret: broker, prefix: acceptance}
store:
  endpoint: http://s3.$services.svc:9000
  region: us-east-1
  forcePathStyle: true
  existingSecret: store
  sources: ["s3://acceptance/in/"]
  outputs: ["s3://acceptance/"]
poolDefaults:
  threads: 1
  jobs: 3
  drainSeconds: 20
  resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 2Gi}}
  scaling:
    keda: {minReplicas: 0, maxReplicas: $workers, messagesPerWorker: 3, pollingInterval: 5, cooldownPeriod: $cooldown}
helmTest: {source: "s3://acceptance/in/", output: "s3://acceptance/test/"}
VALUES
    case $image in
    '') ;;
    *@*) printf 'image: {repository: "%s", digest: "%s"}\n' "${image%@*}" "${image#*@}" >>"$values" ;;
    *) printf 'image: {repository: "%s", tag: "%s"}\n' "${image%:*}" "${image##*:}" >>"$values" ;;
    esac
}

# The image of the release, for the pods that submit.
image_of_release() {
    kube --namespace "$namespace" get deployments --selector "$workers_of_release" \
        --output jsonpath='{.items[0].spec.template.spec.containers[0].image}'
}

# submit NAME: a Job that submits all recordings, and ends when their transcripts are there.
submit() {
    kube --namespace "$namespace" apply --filename - <<JOB
apiVersion: batch/v1
kind: Job
metadata: {name: $1}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: submit
          image: $(image_of_release)
          args: [submit, "s3://acceptance/in/", --out, "s3://acceptance/$1/", --wait]
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 256Mi}}
          env:
            - {name: SCRIPTORIUM__QUEUE__URL, valueFrom: {secretKeyRef: {name: broker, key: url}}}
            - {name: SCRIPTORIUM__QUEUE__PREFIX, value: acceptance}
            - {name: SCRIPTORIUM__STORE__S3__ENDPOINT, value: "http://s3.$services.svc:9000"}
            - {name: SCRIPTORIUM__STORE__S3__FORCE_PATH_STYLE, value: "true"}
            - {name: AWS_REGION, value: us-east-1}
            - {name: SCRIPTORIUM__STORE__S3__ACCESS_KEY, valueFrom: {secretKeyRef: {name: store, key: access-key}}}
            - {name: SCRIPTORIUM__STORE__S3__SECRET_KEY, valueFrom: {secretKeyRef: {name: store, key: secret-key}}}
JOB
}

submission_ended() {
    [ "$(kube --namespace "$namespace" get job "$1" --output jsonpath='{.status.succeeded}{.status.failed}')" = 1 ]
}

all_done() {
    local submission=$1 found
    within 3600 submission_ended "$submission" || fail "the jobs of $submission do not end within an hour"
    found=$(tools transcripts.sh "$submission" "$jobs")
    [ "$found" -eq "$jobs" ] || fail "$submission has $found transcripts of $jobs"
}

# A worker with messages that are not acknowledged must not be stopped, although no message waits.
holds_its_workers() {
    local before now waited
    before=$(workers)
    for ((waited = 0; waited < hold; waited += 5)); do
        now=$(workers)
        [ "$now" = "$before" ] || fail "workers with work were stopped: $before became $now"
        [ "$(messages 3)" -gt 0 ] || fail "the work ended within $waited s, too soon to see: choose more --minutes"
        sleep "$tick"
    done
}

# Whatever has the name or the label of the release, Helm's and KEDA's objects too. Events remain everywhere.
leftovers() {
    local types
    types=$(kube api-resources --verbs=list --namespaced --output name | grep -v '^events' | paste -sd ,)
    {
        kube --namespace "$namespace" get "$types" --ignore-not-found --output name | grep -- "[/.-]$release\b" || true
        kube --namespace "$namespace" get "$types" --ignore-not-found --output name \
            --selector "app.kubernetes.io/instance=$release"
    } | sort -u
}
nothing_left() { [ -z "$(leftovers)" ]; }

for tool in kubectl helm; do
    command -v "$tool" >/dev/null || missing_tool=$tool
done
if [ -n "${missing_tool:-}" ] || ! kube get --raw /readyz --request-timeout=10s >/dev/null 2>&1; then
    reason=${missing_tool:+$missing_tool is not installed}
    if [ -n "$skip" ]; then
        printf '\n!! SKIPPED: the acceptance test needs a cluster: %s\n\n' "${reason:-none answers}" >&2
        exit 0
    fi
    cannot_begin "${reason:-no cluster answers: set KUBECONFIG, or --context}"
fi
[ -e "$chart/Chart.yaml" ] || cannot_begin "$chart is no chart"
for name in "$namespace" "$services"; do
    ! kube get namespace "$name" >/dev/null 2>&1 || cannot_begin "the namespace $name exists: it would be deleted"
done
if ! kube get crd scaledobjects.keda.sh >/dev/null 2>&1; then
    [ -n "$install_keda" ] || cannot_begin "KEDA is not installed: install it, or pass --install-keda"
    helm ${context:+--kube-context "$context"} upgrade --install keda keda --repo https://kedacore.github.io/charts \
        --version "$keda_version" --namespace keda --create-namespace --wait --timeout 5m >/dev/null
    pass "KEDA $keda_version is installed"
fi

make_namespaces >/dev/null
kube --namespace "$services" rollout status deployment/rabbitmq deployment/s3 --timeout 5m >/dev/null ||
    fail 'RabbitMQ or the S3 server does not start'
kube --namespace "$services" wait pod/tools --for condition=Ready --timeout 5m >/dev/null || fail 'the tools do not start'
made=$(tools recordings.sh "$jobs" "$minutes") || fail 'the recordings cannot be made'
pass "RabbitMQ, S3 and $made"

write_values
helm_ install "$release" "$chart" --values "$values" --wait --timeout 5m >/dev/null || fail 'helm install'
within 120 ready_scaled_object || fail 'the ScaledObject is not ready: KEDA cannot ask RabbitMQ'
within 120 has_no_workers || fail 'workers run although there is no work'
pass 'installed, without workers'
helm_ test "$release" --timeout 5m >/dev/null || fail 'helm test'
pass 'helm test'

submit first >/dev/null
within 600 has_workers "$workers" || fail "$jobs jobs do not get $workers workers"
pass "from 0 to $workers workers for $jobs jobs"
within 600 all_taken || fail 'the workers do not take all jobs'
holds_its_workers
pass "workers with unacknowledged jobs are kept for $hold s, although no job waits"
all_done first
pass "$jobs transcripts"
within $((cooldown + 180)) has_no_workers || fail 'workers stay without work'
pass 'back to 0 workers'

submit second >/dev/null
within 600 has_workers "$workers" || fail "$jobs jobs do not get $workers workers"
helm_ upgrade "$release" "$chart" --values "$values" --set-string poolDefaults.podAnnotations.acceptance=upgraded \
    --wait --timeout 10m >/dev/null || fail 'helm upgrade while KEDA has scaled the pool'
replicas() {
    kube --namespace "$namespace" get deployments --selector "$workers_of_release" --output jsonpath='{.items[*].spec.replicas}'
}
[ "$(replicas)" -eq "$workers" ] || fail "the upgrade set the number of workers to $(replicas)"
pass 'upgraded while scaled; the number of workers stays'
helm_ rollback "$release" 1 --wait --timeout 10m >/dev/null || fail 'helm rollback while KEDA has scaled the pool'
pass 'rolled back while scaled'
all_done second
pass "$jobs transcripts, although upgrade and rollback replaced all workers"

helm_ uninstall "$release" --wait --timeout 5m >/dev/null || fail 'helm uninstall'
within 180 nothing_left || fail "uninstalled, but left: $(leftovers | paste -sd ' ')"
pass 'uninstalled, nothing is left'
