// A compiled proxy: net/http on both sides, nothing but the standard library.
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"time"
)

type object = map[string]interface{}

var (
	authentik = os.Getenv("BENCH_AUTHENTIK")
	flow      = authentik + "/api/v3/flows/executor/default-authentication-flow/?query="
	access    = authentik + "/api/v3/core/applications/jamf-connect/check_access/"
	user      = authentik + "/api/v3/core/users/me/"
	removal   = authentik + "/api/v3/flows/executor/default-invalidation-flow/?query="
	extras    = os.Getenv("BENCH_EXTRAS")
	algorithm = os.Getenv("BENCH_ALGORITHM")
	key       = readKey(os.Getenv("BENCH_KEY"))

	// Connections to Authentik, which all checks share.
	transport = &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
)

func readKey(path string) crypto.Signer {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	return parsed.(crypto.Signer)
}

func ask(client *http.Client, method, url string, sent object) (object, error) {
	var body io.Reader
	if sent != nil {
		text, err := json.Marshal(sent)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if sent != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	received := object{}
	return received, json.Unmarshal(text, &received)
}

// check returns the claims of a user, or the error to answer.
func check(client *http.Client, username, password string) (object, string, error) {
	if _, err := ask(client, "GET", flow, nil); err != nil {
		return nil, "", err
	}
	name := object{"component": "ak-stage-identification", "uid_field": username}
	challenge, err := ask(client, "POST", flow, name)
	if err == nil && challenge["component"] == "ak-stage-password" {
		body := object{"component": "ak-stage-password", "password": password}
		challenge, err = ask(client, "POST", flow, body)
	}
	if err != nil {
		return nil, "", err
	}
	if challenge["component"] != "xak-flow-redirect" {
		return nil, "invalid_grant", nil
	}
	if strings.Contains(extras, "access") {
		answer, err := ask(client, "GET", access, nil)
		if err != nil {
			return nil, "", err
		}
		if answer["passing"] != true {
			return nil, "access_denied", nil
		}
	}
	if !strings.Contains(extras, "user") {
		return object{"sub": username, "preferred_username": username, "name": username}, "", nil
	}
	answer, err := ask(client, "GET", user, nil)
	if err != nil {
		return nil, "", err
	}
	found := answer["user"].(object)
	groups := []string{}
	for _, group := range found["groups"].([]interface{}) {
		groups = append(groups, group.(object)["name"].(string))
	}
	return object{
		"sub": found["uid"], "preferred_username": found["username"],
		"name": found["name"], "given_name": found["name"],
		"email": found["email"], "email_verified": false, "groups": groups,
	}, "", nil
}

func sign(kind string, claims object, more object) (string, error) {
	all := object{"jti": uuid()}
	for name, value := range claims {
		all[name] = value
	}
	for name, value := range more {
		all[name] = value
	}
	head, _ := json.Marshal(object{"alg": algorithm, "typ": kind, "kid": "bench"})
	body, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(head) + "." + encode(body)
	digest := sha256.Sum256([]byte(text))
	var signature []byte
	switch private := key.(type) {
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, private, digest[:])
		if err = failed; err == nil {
			signature = make([]byte, 64)
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
		}
	}
	return text + "." + encode(signature), err
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Transport: transport, Jar: jar}
	claims, refusal, err := check(client, r.PostFormValue("username"), r.PostFormValue("password"))
	if err != nil {
		log.Print(err)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if refusal != "" {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(object{"error": refusal})
		return
	}
	now := time.Now().Unix()
	for name, value := range (object{
		"iss": "http://127.0.0.1", "aud": "jamf-connect", "azp": "jamf-connect",
		"iat": now, "exp": now + 3600, "auth_time": now, "amr": []string{"pwd"},
	}) {
		claims[name] = value
	}
	scope := r.PostFormValue("scope")
	accessToken, err := sign("at+jwt", claims, object{"client_id": "jamf-connect", "scope": scope})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	idToken, err := sign("JWT", claims, nil)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	json.NewEncoder(w).Encode(object{
		"token_type": "Bearer", "access_token": accessToken, "expires_in": 3600,
		"scope": scope, "id_token": idToken,
	})
	if strings.Contains(extras, "removal") {
		go ask(client, "GET", removal, nil)
	}
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/token", token)
	server := &http.Server{
		Addr:    "127.0.0.1:" + os.Getenv("BENCH_PORT"),
		Handler: mux,
		// HTTP/1.1 only, as the others.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	if certificate := os.Getenv("BENCH_CERTIFICATE"); certificate != "" {
		log.Fatal(server.ListenAndServeTLS(certificate, os.Getenv("BENCH_CERTIFICATE_KEY")))
	}
	log.Fatal(server.ListenAndServe())
}
