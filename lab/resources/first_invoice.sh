#!/usr/bin/env bash
# From sign-in to a released invoice, by curl, as four people of one organisation.
#
#   lab/resources/first_invoice.sh [organisation]     (default: Acme)
#
# Needs bash, curl, coreutils and openssl (for the codes of the second factor), and the demo of `make run`;
# DEMO_FILE names another demo's file, and CA_FILE its certificate authority when that is not where the file says.
# Prints one line for each step and ends with 1 at the first answer that is not the expected one.
set -euo pipefail

organisation=${1:-Acme}
domain=$(tr '[:upper:]' '[:lower:]' <<<"$organisation").example
demo=${DEMO_FILE:-$(dirname "$0")/../../.run/demo.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- reading: JSON of one key a line, and the hidden fields of our own forms ---

value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
member() { tr ',{}' '\n\n\n' <"$work/body" | value "$1"; }
hidden() { sed -n "s/.*name=\"$1\" value=\"\([^\"]*\)\".*/\1/p" "$work/body" | head -n 1; }
urlsafe() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }
random() { head -c 32 /dev/urandom | urlsafe; }
totp() { # the six digits of an authenticator app with this seed, at this moment (RFC 6238)
  local key counter mac offset
  key=$(printf %s "$1" | base32 --decode | od -An -v -tx1 | tr -d ' \n')
  counter=$(printf '%016x' "$(($(date +%s) / 30))")
  mac=$(printf "$(sed 's/../\\x&/g' <<<"$counter")" | openssl dgst -sha1 -mac HMAC -macopt "hexkey:$key" | sed 's/.* //')
  offset=$((16#${mac:39:1} * 2))
  printf '%06d' $(((16#${mac:offset:8} & 0x7fffffff) % 1000000))
}
sha256() { printf "$(sha256sum | cut -c 1-64 | sed 's/../\\x&/g')"; }

base=$(value base_url <"$demo")
ca=${CA_FILE:-$(value ca_file <"$demo")}
client=demo-web
callback=$(tr -d ' \n' <"$demo" | grep -o "\"client_id\":\"$client\"[^}]*" | grep -o 'redirect_uris":\["[^"]*' | cut -d '"' -f 3)

fail() {
  echo "FAILED: $*" >&2
  sed 's/^/  /' "$work/body" >&2
  exit 1
}

# call <expected status, or several with | between> <method> <path> [curl options]: the body goes to $work/body.
call() {
  local expected=$1 method=$2 path=$3
  shift 3
  status=$(curl --silent --show-error --cacert "$ca" --request "$method" --output "$work/body" \
    --dump-header "$work/headers" --write-out '%{http_code}' "$@" "$base$path")
  [[ "$status" =~ ^($expected)$ ]] || fail "$method ${path%%\?*} answered $status, not $expected"
  printf '  %-4s %-62s %s\n' "$method" "${path%%\?*}" "$status"
}

# token <role> <scopes>: sign in, consent, exchange the code with PKCE; the token goes to $token.
token() {
  local role=$1 scopes=$2 jar="$work/$1.cookies" username="$1@$domain" password seed verifier state query code
  echo "$username asks for: $scopes"
  password=$(grep -A 1 "\"username\": \"$username\"" "$demo" | value password || true)
  [ -n "$password" ] || { echo "There is no $username in $demo." >&2; exit 1; }

  call 200 GET /sign-in --cookie-jar "$jar"
  call 303 POST /sign-in --cookie "$jar" --cookie-jar "$jar" --referer "$base/sign-in" \
    --data-urlencode "csrfmiddlewaretoken=$(hidden csrfmiddlewaretoken)" \
    --data-urlencode "username=$username" --data-urlencode "password=$password"
  if grep -qi '^location: /sign-in/code' "$work/headers"; then
    seed=$(grep -A 4 "\"username\": \"$username\"" "$demo" | value totp_secret)
    for _ in 1 2; do
      call 200 GET /sign-in/code --cookie "$jar" --cookie-jar "$jar"
      call '200|303' POST /sign-in/code --cookie "$jar" --cookie-jar "$jar" --referer "$base/sign-in/code" \
        --data-urlencode "csrfmiddlewaretoken=$(hidden csrfmiddlewaretoken)" --data "code=$(totp "$seed")"
      [ "$status" = 200 ] || break
      sleep $((30 - $(date +%s) % 30)) # a code is good once: somebody has used this one
    done
    [ "$status" = 303 ] || fail "the code was refused"
  fi

  verifier=$(random)
  state=$(random)
  query="response_type=code&client_id=$client&redirect_uri=$callback&scope=${scopes// /%20}&state=$state"
  query+="&code_challenge_method=S256&code_challenge=$(printf %s "$verifier" | sha256 | urlsafe)"
  call 200 GET "/oauth/authorize?$query" --cookie "$jar" --cookie-jar "$jar"
  call 303 POST "/oauth/authorize?$query" --cookie "$jar" --referer "$base/oauth/authorize" \
    --data-urlencode "csrfmiddlewaretoken=$(hidden csrfmiddlewaretoken)" \
    --data-urlencode "organisation=$(hidden organisation)" --data decision=allow
  grep -qi "^location:.*[?&]state=$state" "$work/headers" || fail "the state did not come back"
  code=$(sed -n 's/^location:.*[?&]code=\([^&[:space:]]*\).*/\1/Ip' "$work/headers")

  call 200 POST /oauth/token --data grant_type=authorization_code --data "client_id=$client" \
    --data-urlencode "redirect_uri=$callback" --data-urlencode "code=$code" --data "code_verifier=$verifier"
  token=$(member access_token)
}

api() {
  local expected=$1 method=$2 path=$3
  shift 3
  call "$expected" "$method" "$path" --header "Authorization: Bearer $token" "$@"
}

# send <expected status> <path> <JSON>: done once for its key, however often it is sent
send() {
  api "$1" POST "$2" --header 'Content-Type: application/json' --data "$3" \
    --header "Idempotency-Key: $(random | cut -c 1-32)"
}

# act <action> [curl options]: on the invoice, at the version that this person has read
act() {
  local action=$1 tag
  shift
  api 200 GET "/v1/invoices/$invoice"
  tag=$(sed -n 's/^etag: *\("[^"]*"\).*/\1/Ip' "$work/headers")
  api 200 POST "/v1/invoices/$invoice/$action" --header "If-Match: $tag" "$@"
}

token clerk "vendors:read vendors:write invoices:read invoices:write"
send 201 /v1/vendors "{\"name\": \"Paper Mill $(random)\", \"contact_email\": \"billing@mill.example\", \"country\": \"SE\"}"
own_vendor=$(member id)
invoice_of() {
  echo "{\"vendor\": \"$1\", \"number\": \"$(random | cut -c 1-12)x\", \"amount\": 49900," \
    "\"issue_date\": \"2026-11-02\", \"due_date\": \"2026-12-02\"}"
}
send 201 /v1/invoices "$(invoice_of "$own_vendor")"
# A new vendor is unverified, so nothing is released to it. The seeded one is, and its cooling-off is over.
seeded_vendor=$(grep -A 2 "\"organisation\": \"$organisation\"" "$demo" | value vendor)
send 201 /v1/invoices "$(invoice_of "$seeded_vendor")"
invoice=$(member id)
act submit

token approver "invoices:approve invoices:read"
act approve

token treasurer "invoices:release invoices:read"
key=$(random | cut -c 1-32)
act release --header "Idempotency-Key: $key"
[ "$(member status)" = released ] || fail "the invoice is not released"
echo "  Sent again with its key, as after a lost answer: paid once, and answered the same."
api 200 POST "/v1/invoices/$invoice/release" --header "Idempotency-Key: $key" --header 'If-Match: "3"'
[ "$(member status)" = released ] || fail "the answer is another"

token auditor "audit:read"
api 200 GET "/v1/audit-events?event=invoices:invoice:released"
grep -q "$invoice" "$work/body" || fail "the release is not in the audit trail"
echo "Invoice $invoice of $organisation is released, and the trail shows it."
