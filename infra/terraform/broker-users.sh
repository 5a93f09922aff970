#!/usr/bin/env bash
# Makes RabbitMQ's users, with the least permissions each, and ends the first user's password, which Terraform's
# state has. Prints the new users and passwords as JSON. To be run once, from where the broker's management API can
# be reached (README.md says how); running it again gives all users new passwords.
#
#   BROKER_PASSWORD=... [BROKER_VIA=ADDRESS:PORT] ./broker-users.sh https://HOST [PREFIX]
#
# BROKER_VIA is the end of a tunnel to HOST; its certificate is checked all the same.
#
#   scriptorium   workers, bridge and submit: all queues and exchanges of the prefix
#   keda          reads the lengths of queues
#   uploads       publishes notifications of uploads, and nothing else
#   admin         administrator, for people
set -euo pipefail
# Else a failure within $( ) would not end the script.
shopt -s inherit_errexit

url=${1:?usage: BROKER_PASSWORD=... broker-users.sh https://HOST [PREFIX]}
prefix=${2:-scriptorium}
first=${BROKER_USER:-bootstrap}
host=%2F # The virtual host /

via=()
[[ -z ${BROKER_VIA:-} ]] || via=(--connect-to "::$BROKER_VIA")

# The password goes to curl by its standard input: arguments are visible to all processes of a machine.
user=$first
password=${BROKER_PASSWORD:?is not set}
api() {
    local method=$1 path=$2 body=${3:-}
    {
        printf 'user = "%s:%s"\n' "$user" "$password"
        [[ -z $body ]] || printf 'data = "%s"\n' "${body//\"/\\\"}"
    } | curl --config - "${via[@]}" --silent --show-error --fail --request "$method" \
        --header 'content-type: application/json' "$url/api/$path"
}

new_password() { od -A n -t x1 -N 24 /dev/urandom | tr -d ' \n'; }

# make USER TAGS CONFIGURE WRITE READ: makes a user, or gives it a new password, and prints it. Permissions are
# patterns of the names of queues and exchanges.
make() {
    local name=$1 tags=$2 secret
    secret=$(new_password)
    api PUT "users/$name" "{\"password\":\"$secret\",\"tags\":\"$tags\"}"
    [[ $name != "$user" ]] || password=$secret
    api PUT "permissions/$host/$name" "{\"configure\":\"$3\",\"write\":\"$4\",\"read\":\"$5\"}"
    printf '%s' "$secret"
}

# Only dots are special in patterns, of what a prefix may contain.
pattern=${prefix//./[.]}
own="^${pattern}[.].*"

scriptorium=$(make scriptorium '' "$own" "^(${pattern}[.].*|amq[.]default)\$" "$own")
# Who may list queues needs no permission for any of them.
keda=$(make keda management '^$' '^$' '^$')
uploads=$(make uploads management '^$' "^${pattern}[.]uploads\$" '^$')
admin=$(make admin administrator '.*' '.*' '.*')

# The first user may go now: no longer with its password, but with the new administrator's.
user=admin password=$admin
if [[ $first != admin ]]; then
    api DELETE "users/$first"
fi

printf '{"scriptorium":"%s","keda":"%s","uploads":"%s","admin":"%s"}\n' \
    "$scriptorium" "$keda" "$uploads" "$admin"
