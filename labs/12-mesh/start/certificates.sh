#!/bin/sh
# An authority for one day, and a certificate each for the Service ledger and for one client, stored as Secrets.
# With "client-only" as its argument it makes the client's alone.
set -eu
new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new_key -keyout ca.key -out ca.crt -subj "/CN=mesh authority" -days 1 -addext keyUsage=critical,keyCertSign 2>/dev/null
for who in ledger client; do
    if [ "${1-}" = client-only ] && [ "$who" != client ]; then continue; fi
    printf 'subjectAltName=DNS:%s\nauthorityKeyIdentifier=keyid\n' "$who" > "$who.ext"
    openssl req $new_key -keyout "$who.key" -out "$who.csr" -subj "/CN=$who" 2>/dev/null
    openssl x509 -req -in "$who.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -extfile "$who.ext" -days 1 -out "$who.crt" 2>/dev/null
    kubectl create secret generic "$who-tls" --type=kubernetes.io/tls --dry-run=client -o yaml \
        --from-file=tls.crt="$who.crt" --from-file=tls.key="$who.key" --from-file=ca.crt | kubectl apply -f -
done
