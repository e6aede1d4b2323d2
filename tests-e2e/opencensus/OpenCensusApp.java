import io.opencensus.common.Scope;
import io.opencensus.exporter.trace.ocagent.OcAgentTraceExporter;
import io.opencensus.exporter.trace.ocagent.OcAgentTraceExporterConfiguration;
import io.opencensus.trace.AttributeValue;
import io.opencensus.trace.Link;
import io.opencensus.trace.MessageEvent;
import io.opencensus.trace.Span;
import io.opencensus.trace.SpanContext;
import io.opencensus.trace.Status;
import io.opencensus.trace.Tracer;
import io.opencensus.trace.Tracing;
import io.opencensus.trace.propagation.BinaryFormat;
import io.opencensus.trace.samplers.Samplers;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.Map;

/**
 * One service that traces with OpenCensus: ADDRESS SERVICE. Commands on standard input: `front PEER` (prints the context of its
 * client's span, which ends with the next line), `back CONTEXT` (prints `answered`), `tick`; ends with its input. What OpenCensus logs is
 * on standard error.
 */
public class OpenCensusApp {
    private static final Tracer tracer = Tracing.getTracer();
    private static final BinaryFormat binary = Tracing.getPropagationComponent().getBinaryFormat();

    public static void main(String[] args) throws Exception {
        OcAgentTraceExporter.createAndRegister(OcAgentTraceExporterConfiguration.builder().setEndPoint(args[0])
                .setServiceName(args[1]).setUseInsecure(true).setEnableConfig(true).build());
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "front" -> front(words[1], commands);
                case "back" -> back(binary.fromByteArray(HexFormat.of().parseHex(words[1])));
                default -> tracer.spanBuilder("tick").setSampler(Samplers.alwaysSample()).startSpan().end();
            }
        }
        System.exit(0);
    }

    private static void front(String peer, BufferedReader commands) throws Exception {
        try (Scope outer = tracer.spanBuilder("get /buy").setSampler(Samplers.alwaysSample()).setSpanKind(Span.Kind.SERVER)
                .startScopedSpan()) {
            tracer.getCurrentSpan().putAttribute("http.method", AttributeValue.stringAttributeValue("GET"));
            tracer.getCurrentSpan().putAttribute("http.status_code", AttributeValue.longAttributeValue(500));
            try (Scope inner = tracer.spanBuilder("post").setSpanKind(Span.Kind.CLIENT).startScopedSpan()) {
                Span post = tracer.getCurrentSpan();
                post.putAttribute("peer.service", AttributeValue.stringAttributeValue(peer));
                post.setStatus(Status.UNKNOWN.withDescription("answered with 500"));
                post.addAnnotation("queued", Map.of("size", AttributeValue.longAttributeValue(3)));
                post.addMessageEvent(MessageEvent.builder(MessageEvent.Type.SENT, 7).setUncompressedMessageSize(200)
                        .setCompressedMessageSize(100).build());
                System.out.println(HexFormat.of().formatHex(binary.toByteArray(post.getContext())));
                System.out.flush();
                commands.readLine();
            }
        }
    }

    private static void back(SpanContext caller) throws Exception {
        try (Scope outer = tracer.spanBuilderWithRemoteParent("post /stock", caller).setSpanKind(Span.Kind.SERVER)
                .startScopedSpan()) {
            Span stock = tracer.getCurrentSpan();
            stock.putAttribute("http.status_code", AttributeValue.longAttributeValue(500));
            stock.setStatus(Status.NOT_FOUND.withDescription("no stock"));
            try (Scope inner = tracer.spanBuilder("look").startScopedSpan()) {
                tracer.getCurrentSpan().putAttribute("ratio", AttributeValue.doubleAttributeValue(0.5));
                tracer.getCurrentSpan().putAttribute("ok", AttributeValue.booleanAttributeValue(true));
            }
            Thread later = new Thread(() -> job(stock, caller));
            later.start();
            later.join();
        }
        System.out.println("answered");
        System.out.flush();
    }

    private static void job(Span parent, SpanContext cause) {
        Span job = tracer.spanBuilderWithExplicitParent("job", parent).startSpan();
        job.putAttribute("span.kind", AttributeValue.stringAttributeValue("consumer"));
        job.addLink(Link.fromSpanContext(cause, Link.Type.PARENT_LINKED_SPAN,
                Map.of("why", AttributeValue.stringAttributeValue("later"))));
        job.end();
    }
}
