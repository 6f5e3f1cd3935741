// A server of Google Cloud Storage's XML API, for the journey of backups into it and for the soak of stores.
//
// Buckets and objects are those of fake-gcs-server, in memory. It speaks the JSON API; of the XML API, which our workers
// use, it lacks writing, conditions, answers in XML to what fails, and any look at who asks. That is added here, as
// https://cloud.google.com/storage/docs/xml-api has it.
package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

func main() {
	address := flag.String("listen", "127.0.0.1:4443", "host and port")
	buckets := flag.String("buckets", "", "buckets that there are, with commas between them")
	accounts := flag.String("accounts", ".", "folder for key files of service accounts: known.json, which is let in, and unknown.json")
	token := flag.String("token", "", "a token that is accepted as well, of whoever looks behind the scene")
	certificate := flag.String("certificate", "", "file with the certificate; without one it is http://")
	private := flag.String("private-key", "", "file with its key")
	flag.Parse()
	store, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, PublicHost: *address})
	if err != nil {
		log.Fatal(err)
	}
	for _, bucket := range strings.Split(*buckets, ",") {
		store.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	}
	public, err := account(filepath.Join(*accounts, "known.json"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := account(filepath.Join(*accounts, "unknown.json")); err != nil {
		log.Fatal(err)
	}
	server := &front{store: store, behind: store.HTTPHandler(), host: *address, public: public, token: *token}
	if *certificate != "" {
		log.Fatal(http.ListenAndServeTLS(*address, *certificate, *private, server))
	}
	log.Fatal(http.ListenAndServe(*address, server))
}

// account makes a service account and writes its key file.
func account(file string) (*rsa.PublicKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]string{
		"type":           "service_account",
		"project_id":     "soak",
		"private_key_id": "1",
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   "backups@soak.iam.gserviceaccount.com",
	})
	if err != nil {
		return nil, err
	}
	return &key.PublicKey, os.WriteFile(file, text, 0o600)
}

type front struct {
	store  *fakestorage.Server
	behind http.Handler
	host   string
	public *rsa.PublicKey
	token  string
}

func (f *front) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.URL.Path == "/health" {
		return
	}
	if !f.isKnown(request.Header.Get("Authorization")) {
		refuse(answer, request, http.StatusUnauthorized, "AuthenticationRequired", "Authentication required.")
		return
	}
	// Whoever stands before us is named there, and what is behind looks at it.
	request.Host = f.host
	bucket, object, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/")
	if _, err := f.store.Backend().GetBucket(bucket); err != nil {
		refuse(answer, request, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
		return
	}
	if object == "" {
		f.behind.ServeHTTP(answer, request)
		return
	}
	if request.Method == http.MethodPut {
		f.put(answer, request, bucket, object)
		return
	}
	found, err := f.store.GetObject(bucket, object)
	if err != nil {
		refuse(answer, request, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	wanted := strings.Trim(request.Header.Get("If-Match"), `"`)
	if wanted != "" && wanted != strings.Trim(found.Etag, `"`) {
		refuse(answer, request, http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	}
	f.behind.ServeHTTP(answer, request)
}

// put writes an object by the JSON API, which has the conditions.
func (f *front) put(answer http.ResponseWriter, request *http.Request, bucket, object string) {
	query := url.Values{"uploadType": {"media"}, "name": {object}}
	if generation := request.Header.Get("X-Goog-If-Generation-Match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	address := "/upload/storage/v1/b/" + url.PathEscape(bucket) + "/o?" + query.Encode()
	inner := httptest.NewRequest(http.MethodPost, address, request.Body)
	inner.ContentLength = request.ContentLength
	recorded := httptest.NewRecorder()
	f.behind.ServeHTTP(recorded, inner)
	switch {
	case recorded.Code == http.StatusPreconditionFailed:
		refuse(answer, request, recorded.Code, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
		return
	case recorded.Code != http.StatusOK:
		refuse(answer, request, recorded.Code, "InternalError", recorded.Body.String())
		return
	}
	var written struct {
		Etag       string `json:"etag"`
		Generation string `json:"generation"`
	}
	if err := json.Unmarshal(recorded.Body.Bytes(), &written); err != nil {
		refuse(answer, request, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	answer.Header().Set("ETag", strconv.Quote(strings.Trim(written.Etag, `"`)))
	answer.Header().Set("X-Goog-Generation", written.Generation)
}

// isKnown says whether a request was signed by the service account: a JWT of its own key, as Google takes it in the place
// of an access token (https://google.aip.dev/auth/4111).
func (f *front) isKnown(authorization string) bool {
	token := strings.TrimPrefix(authorization, "Bearer ")
	if f.token != "" && token == f.token {
		return true
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(f.public, crypto.SHA256, sum[:], signature) != nil {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Expires int64 `json:"exp"`
	}
	err = json.NewDecoder(bytes.NewReader(text)).Decode(&claims)
	return err == nil && claims.Expires > time.Now().Unix()
}

func refuse(answer http.ResponseWriter, request *http.Request, status int, code, message string) {
	answer.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	answer.WriteHeader(status)
	if request.Method != http.MethodHead {
		fmt.Fprintf(answer, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	}
}
