// kratospeer is a Kratos service that talks to a Python service of the tests, over HTTP and gRPC, both ways.
//
//	kratospeer -otlp HOST:PORT -http-peer HOST:PORT -grpc-peer HOST:PORT
//
// It listens on loopback ports of the system's choice and says which, as one line of JSON. It ends when its standard
// input does. Its routes:
//
//	GET /hello/{name}     answers itself; "lost" is not found, "boom" an error of no kind
//	GET /grpc/{name}      asks the peer over gRPC: Health.Check of the service {name}
//	GET /http/{name}      asks the peer over HTTP: /hello/{name}
//
// Over gRPC it has the health service that Kratos registers by itself.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/go-kratos/kratos/v2"
	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"github.com/go-kratos/kratos/v2/middleware/tracing"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const name = "kratos-peer"

var (
	otlpAddress = flag.String("otlp", "", "where spans are sent, OTLP over HTTP")
	httpPeer    = flag.String("http-peer", "", "the other service's address for HTTP")
	grpcPeer    = flag.String("grpc-peer", "", "the other service's address for gRPC")
)

func main() {
	flag.Parse()
	log.SetLogger(log.NewFilter(log.NewStdLogger(os.Stderr), log.FilterLevel(log.LevelError)))
	if err := serve(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(*otlpAddress), otlptracehttp.WithInsecure())
	if err != nil {
		return err
	}
	provider := trace.NewTracerProvider(
		// Each span at once: the tests wait for them.
		trace.WithSyncer(exporter),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", name))),
	)
	defer func() { _ = provider.Shutdown(ctx) }()
	otel.SetTracerProvider(provider)

	answering := []middleware.Middleware{recovery.Recovery(), tracing.Server(), metadata.Server()}
	asking := []middleware.Middleware{tracing.Client(), metadata.Client()}

	connection, err := kgrpc.DialInsecure(ctx,
		kgrpc.WithEndpoint(*grpcPeer),
		kgrpc.WithTimeout(10*time.Second),
		kgrpc.WithMiddleware(asking...),
		kgrpc.WithOptions(grpc.WithStatsHandler(&tracing.ClientHandler{})),
	)
	if err != nil {
		return err
	}
	overHTTP, err := khttp.NewClient(ctx,
		khttp.WithEndpoint(*httpPeer),
		khttp.WithTimeout(10*time.Second),
		khttp.WithMiddleware(asking...),
	)
	if err != nil {
		return err
	}
	onHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	onGRPC, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	httpServer := khttp.NewServer(khttp.Listener(onHTTP), khttp.Timeout(10*time.Second), khttp.Middleware(answering...))
	routes(httpServer, grpc_health_v1.NewHealthClient(connection), overHTTP)
	grpcServer := kgrpc.NewServer(
		kgrpc.Listener(onGRPC), kgrpc.Timeout(10*time.Second), kgrpc.Middleware(answering...))

	app := kratos.New(kratos.Name(name), kratos.Server(httpServer, grpcServer), kratos.AfterStart(
		func(context.Context) error {
			return json.NewEncoder(os.Stdout).Encode(map[string]string{
				"http": onHTTP.Addr().String(), "grpc": onGRPC.Addr().String(),
			})
		}))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = app.Stop()
	}()
	return app.Run()
}

// routes are written by hand, so that their operation is the template of the path.
func routes(server *khttp.Server, health grpc_health_v1.HealthClient, overHTTP *khttp.Client) {
	route := server.Route("/")
	route.GET("/hello/{name}", answer(func(_ context.Context, name string) (any, error) {
		switch name {
		case "lost":
			return nil, kerrors.NotFound("NO_SUCH_NAME", "nobody has that name")
		case "boom":
			return nil, errors.New("boom")
		}
		return map[string]string{"hello": name}, nil
	}))
	route.GET("/grpc/{name}", answer(func(ctx context.Context, name string) (any, error) {
		return health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: name})
	}))
	route.GET("/http/{name}", answer(func(ctx context.Context, name string) (any, error) {
		var reply map[string]any
		return reply, overHTTP.Invoke(ctx, "GET", "/hello/"+name, nil, &reply)
	}))
}

// answer runs a handler inside the server's middleware.
func answer(handle func(context.Context, string) (any, error)) khttp.HandlerFunc {
	return func(call khttp.Context) error {
		next := call.Middleware(func(ctx context.Context, request any) (any, error) {
			return handle(ctx, request.(string))
		})
		reply, err := next(call, call.Vars().Get("name"))
		if err != nil {
			return err
		}
		return call.Result(200, reply)
	}
}
