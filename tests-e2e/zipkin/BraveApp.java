import brave.Span;
import brave.Tracing;
import brave.propagation.B3Propagation;
import brave.propagation.TraceContext;
import brave.propagation.TraceContextOrSamplingFlags;
import brave.sampler.Sampler;
import java.util.TreeMap;
import zipkin2.reporter.BytesMessageSender;
import zipkin2.reporter.brave.AsyncZipkinSpanHandler;
import zipkin2.reporter.urlconnection.URLConnectionSender;

/** Two services by Brave, one calling the other, which fails and shares the span: BraveApp URL FRONT BACK START_US. */
public class BraveApp {
    final BytesMessageSender sender;
    final AsyncZipkinSpanHandler handler;
    final Tracing tracing;

    BraveApp(String url, String service) {
        sender = URLConnectionSender.create(url);
        handler = AsyncZipkinSpanHandler.create(sender);
        tracing = Tracing.newBuilder().localServiceName(service).addSpanHandler(handler)
                .sampler(Sampler.ALWAYS_SAMPLE).traceId128Bit(true).supportsJoin(true)
                .propagationFactory(B3Propagation.newFactoryBuilder().injectFormat(B3Propagation.Format.SINGLE).build()).build();
    }

    void close() throws Exception {
        handler.flush();
        handler.close();
        tracing.close();
        sender.close();
    }

    public static void main(String[] args) throws Exception {
        long start = Long.parseLong(args[3]);
        BraveApp front = new BraveApp(args[0], args[1]);
        BraveApp back = new BraveApp(args[0], args[2]);
        Span root = front.tracing.tracer().newTrace().kind(Span.Kind.SERVER).name("get /buy").start(start);
        root.tag("http.method", "GET").tag("http.path", "/buy");
        Span call = front.tracing.tracer().newChild(root.context()).kind(Span.Kind.CLIENT).name("post").start(start + 62_500);
        call.remoteServiceName(args[2]).annotate(start + 65_000, "queued");
        call.remoteIpAndPort("127.0.0.1", 8081);
        TreeMap<String, String> headers = new TreeMap<>();
        front.tracing.propagation().injector((TreeMap<String, String> c, String k, String v) -> c.put(k, v)).inject(call.context(), headers);
        TraceContext.Extractor<TreeMap<String, String>> extractor =
                back.tracing.propagation().extractor((TreeMap<String, String> c, String k) -> c.get(k));
        TraceContextOrSamplingFlags extracted = extractor.extract(headers);
        Span served = back.tracing.tracer().joinSpan(extracted.context()).kind(Span.Kind.SERVER).name("post /stock").start(start + 70_000);
        Span look = back.tracing.tracer().newChild(served.context()).name("look").start(start + 78_125);
        look.finish(start + 93_750);
        // The child leaves in a request of its own, before the span it belongs to has ended.
        back.handler.flush();
        served.tag("http.status_code", "500").tag("error", "no stock").finish(start + 100_000);
        call.finish(start + 125_000);
        root.finish(start + 250_000);
        front.close();
        back.close();
        System.out.println(root.context().traceIdString());
    }
}
