// Jaeger's own query server over its own store in memory: ADDRESS. `POST /batch` takes a batch in binary Thrift, as its collector does at
// /api/traces; everything else is Jaeger's.
package main

import (
	"io"
	"net/http"
	"os"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger/cmd/query/app"
	"github.com/jaegertracing/jaeger/cmd/query/app/querysvc"
	converter "github.com/jaegertracing/jaeger/model/converter/thrift/jaeger"
	"github.com/jaegertracing/jaeger/pkg/tenancy"
	"github.com/jaegertracing/jaeger/plugin/storage/memory"
	"github.com/jaegertracing/jaeger/thrift-gen/jaeger"
)

func main() {
	store := memory.NewStore()
	router := app.NewRouter()
	router.HandleFunc("/batch", func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		batch := &jaeger.Batch{}
		if err == nil {
			reader := thrift.NewTDeserializer()
			reader.Protocol = thrift.NewTBinaryProtocolConf(reader.Transport, &thrift.TConfiguration{})
			err = reader.Read(request.Context(), batch, body)
		}
		for _, span := range converter.ToDomain(batch.Spans, batch.Process) {
			if err == nil {
				err = store.WriteSpan(request.Context(), span)
			}
		}
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		response.WriteHeader(http.StatusAccepted)
	}).Methods(http.MethodPost)
	service := querysvc.NewQueryService(store, store, querysvc.QueryServiceOptions{})
	app.NewAPIHandler(service, tenancy.NewManager(&tenancy.Options{})).RegisterRoutes(router)
	panic(http.ListenAndServe(os.Args[1], router))
}
