// Asks the responder that a certificate names with golang.org/x/crypto/ocsp, or reads the CRL that it names with
// crypto/x509.
//
//	check GET|POST sha1|sha256 ISSUER SUBJECT
//	check crl ISSUER SUBJECT
//	check list ISSUER CRL
package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/crypto/ocsp"
)

var digests = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func certificate(file string) *x509.Certificate {
	data, err := os.ReadFile(file)
	must(err)
	block, _ := pem.Decode(data)
	parsed, err := x509.ParseCertificate(block.Bytes)
	must(err)
	return parsed
}

func body(response *http.Response, err error) []byte {
	must(err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	must(err)
	return data
}

func exchange(method, responder string, request []byte) []byte {
	if method == "POST" {
		return body(http.Post(responder, "application/ocsp-request", bytes.NewReader(request)))
	}
	return body(http.Get(responder + "/" + url.PathEscape(base64.StdEncoding.EncodeToString(request))))
}

func ask(method string, digest crypto.Hash, issuer, subject *x509.Certificate) string {
	request, err := ocsp.CreateRequest(subject, issuer, &ocsp.RequestOptions{Hash: digest})
	must(err)
	// This checks the responder certificate against the issuer and the response against that certificate.
	response, err := ocsp.ParseResponseForCert(exchange(method, subject.OCSPServer[0], request), subject, issuer)
	must(err)
	must(response.CheckSignatureFrom(response.Certificate))
	return map[int]string{ocsp.Good: "good", ocsp.Revoked: "revoked", ocsp.Unknown: "unknown"}[response.Status]
}

func crl(issuer, subject *x509.Certificate) string {
	list, err := x509.ParseRevocationList(body(http.Get(subject.CRLDistributionPoints[0])))
	must(err)
	must(list.CheckSignatureFrom(issuer))
	for _, entry := range list.RevokedCertificates {
		if entry.SerialNumber.Cmp(subject.SerialNumber) == 0 {
			return "revoked"
		}
	}
	return "not on it"
}

func list(issuer *x509.Certificate, file string) string {
	data, err := os.ReadFile(file)
	must(err)
	list, err := x509.ParseRevocationList(data)
	must(err)
	must(list.CheckSignatureFrom(issuer))
	highest := new(big.Int)
	for _, entry := range list.RevokedCertificates {
		if entry.SerialNumber.Cmp(highest) > 0 {
			highest = entry.SerialNumber
		}
	}
	return fmt.Sprintf("verified, %d entries, highest %s", len(list.RevokedCertificates), highest.Text(16))
}

func main() {
	if os.Args[1] == "list" {
		fmt.Println(list(certificate(os.Args[2]), os.Args[3]))
	} else if os.Args[1] == "crl" {
		fmt.Println(crl(certificate(os.Args[2]), certificate(os.Args[3])))
	} else {
		fmt.Println(ask(os.Args[1], digests[os.Args[2]], certificate(os.Args[3]), certificate(os.Args[4])))
	}
}
