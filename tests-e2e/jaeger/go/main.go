// Two services that trace with OpenTelemetry's exporter for Jaeger, as Kratos' articles use it:
// ADDRESS FRONT BACK START_US; prints the trace id.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/jaeger"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func provider(address, service string) *sdk.TracerProvider {
	exporter, err := jaeger.New(jaeger.WithCollectorEndpoint(jaeger.WithEndpoint(address + "/api/traces")))
	if err != nil {
		panic(err)
	}
	return sdk.NewTracerProvider(
		sdk.WithBatcher(exporter),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
	)
}

func main() {
	address, front, back := os.Args[1], os.Args[2], os.Args[3]
	startUs, err := strconv.ParseInt(os.Args[4], 10, 64)
	if err != nil {
		panic(err)
	}
	at := func(us int64) time.Time { return time.UnixMicro(startUs + us) }
	first, second := provider(address, front), provider(address, back)
	here := first.Tracer("shop", trace.WithInstrumentationVersion("1.2"))
	there := second.Tracer("shop", trace.WithInstrumentationVersion("1.2"))
	inBuy, buy := here.Start(context.Background(), "get /buy", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.method", "GET")), trace.WithTimestamp(at(0)))
	_, post := here.Start(inBuy, "post", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("peer.service", back)), trace.WithTimestamp(at(62500)))
	post.AddEvent("queued", trace.WithAttributes(attribute.Int("size", 3)), trace.WithTimestamp(at(70312)))
	remote := trace.ContextWithRemoteSpanContext(context.Background(), post.SpanContext().WithRemote(true))
	inStock, stock := there.Start(remote, "post /stock", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(at(70000)))
	stock.SetAttributes(attribute.Int("http.status_code", 500))
	stock.SetStatus(codes.Error, "no stock")
	stock.RecordError(errors.New("no stock"), trace.WithTimestamp(at(93750)))
	_, look := there.Start(inStock, "look", trace.WithAttributes(attribute.Float64("ratio", 0.5), attribute.Bool("ok", true)),
		trace.WithTimestamp(at(78125)))
	look.End(trace.WithTimestamp(at(93750)))
	stock.End(trace.WithTimestamp(at(100000)))
	post.End(trace.WithTimestamp(at(125000)))
	buy.End(trace.WithTimestamp(at(250000)))
	fmt.Println(buy.SpanContext().TraceID().String())
	for _, one := range []*sdk.TracerProvider{first, second} {
		if err := one.Shutdown(context.Background()); err != nil {
			panic(err)
		}
	}
}
