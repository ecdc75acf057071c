#!/bin/sh
# certificates.sh FOLDER: what the tests of TLS need, made anew each time, valid for a day. Nothing of it is ever in the repository.
#
#   ca.pem other_ca.pem             authorities; every certificate below is the first one's but for self_signed and other
#   two_ca.pem                      both in one file
#   right.pem                       for the names localhost and cache.test, and the address 127.0.0.1
#   name.pem address.pem            for the name localhost alone; for the address 127.0.0.1 alone
#   other_name.pem cn.pem           for another name; for localhost, but only in the subject, which does not count
#   other.pem                       by the other authority, for localhost and 127.0.0.1
#   wildcard.pem                    for *.cache.test
#   expired.pem self_signed.pem     of yesterday; vouched for by itself
#   client.pem                      a client's, and its key in client.key
#   server.key                      the key of all but the client's; locked.key: the client's, opened by "opensesame"
#   both.pem                        the client's certificate and key in one file
set -eu
cd "$1"

new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1"
    chmod 600 "$1"
}

authority() { # NAME
    new_key "$1.key"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 1 -out "$1.pem" -addext keyUsage=critical,keyCertSign
}

certificate() { # NAME KEY SUBJECT SAN DAYS [AUTHORITY]
    openssl req -new -key "$2" -subj "/CN=$3" -out request.pem
    if [ -n "$4" ]; then
        printf 'subjectAltName=%s\n' "$4" >extension
    else
        printf 'basicConstraints=CA:FALSE\n' >extension
    fi
    openssl x509 -req -in request.pem -CA "${6:-ca}.pem" -CAkey "${6:-ca}.key" -CAcreateserial -days "$5" -extfile extension -out "$1.pem"
}

authority ca
authority other_ca
new_key server.key
new_key client.key
certificate right server.key cache DNS:localhost,DNS:cache.test,IP:127.0.0.1 1
certificate name server.key cache DNS:localhost 1
certificate address server.key cache IP:127.0.0.1 1
certificate other_name server.key cache DNS:elsewhere.test 1
certificate cn server.key localhost "" 1
certificate wildcard server.key cache 'DNS:*.cache.test' 1
certificate expired server.key cache DNS:localhost,IP:127.0.0.1 -1
certificate other server.key cache DNS:localhost,IP:127.0.0.1 1 other_ca
certificate client client.key somebody DNS:somebody.test 1
openssl req -x509 -new -key server.key -subj /CN=localhost -days 1 -out self_signed.pem -addext subjectAltName=DNS:localhost,IP:127.0.0.1
openssl pkey -in client.key -aes256 -passout pass:opensesame -out locked.key
cat client.pem client.key >both.pem
cat ca.pem other_ca.pem >two_ca.pem
