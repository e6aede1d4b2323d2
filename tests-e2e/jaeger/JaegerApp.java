import io.jaegertracing.Configuration;
import io.jaegertracing.Configuration.ReporterConfiguration;
import io.jaegertracing.Configuration.SamplerConfiguration;
import io.jaegertracing.Configuration.SenderConfiguration;
import io.jaegertracing.internal.JaegerTracer;
import io.opentracing.Span;
import io.opentracing.SpanContext;
import io.opentracing.propagation.Format;
import io.opentracing.propagation.TextMapAdapter;
import java.util.HashMap;
import java.util.Map;

/** Two services that trace with Jaeger's client: udp|http ADDRESS FRONT BACK START_US; prints the trace id. */
public class JaegerApp {
    public static void main(String[] args) {
        long start = Long.parseLong(args[4]);
        JaegerTracer first = tracer(args, args[2]);
        JaegerTracer second = tracer(args, args[3]);
        Span buy = first.buildSpan("get /buy").withTag("span.kind", "server").withTag("http.method", "GET")
                .withStartTimestamp(start).start();
        Span post = first.buildSpan("post").asChildOf(buy).withTag("span.kind", "client").withTag("peer.service", args[3])
                .withStartTimestamp(start + 62500).start();
        post.log(start + 70312, Map.of("event", "queued", "size", 3));
        Map<String, String> headers = new HashMap<>();
        first.inject(post.context(), Format.Builtin.HTTP_HEADERS, new TextMapAdapter(headers));
        SpanContext caller = second.extract(Format.Builtin.HTTP_HEADERS, new TextMapAdapter(headers));
        Span stock = second.buildSpan("post /stock").asChildOf(caller).withTag("span.kind", "server")
                .withStartTimestamp(start + 70000).start();
        stock.setTag("http.status_code", 500);
        stock.setTag("error", true);
        stock.log(start + 93750, Map.of("event", "error", "error.kind", "LookupError", "message", "no stock"));
        Span look = second.buildSpan("look").asChildOf(stock).withTag("ratio", 0.5).withTag("ok", true)
                .withStartTimestamp(start + 78125).start();
        look.finish(start + 93750);
        stock.finish(start + 100000);
        post.finish(start + 125000);
        buy.finish(start + 250000);
        System.out.println(buy.context().toTraceId());
        first.close();
        second.close();
    }

    private static JaegerTracer tracer(String[] args, String service) {
        SenderConfiguration sender = new SenderConfiguration();
        if (args[0].equals("http")) {
            sender = sender.withEndpoint(args[1] + "/api/traces");
        } else {
            String[] at = args[1].split(":");
            sender = sender.withAgentHost(at[0]).withAgentPort(Integer.parseInt(at[1]));
        }
        return new Configuration(service).withTraceId128Bit(true)
                .withSampler(new SamplerConfiguration().withType("const").withParam(1))
                .withReporter(new ReporterConfiguration().withSender(sender)).getTracer();
    }
}
