import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.startup.Tomcat;

/** One service for Pinpoint's agent: FOLDER. Prints its port and stays until its input ends. /buy?port=N calls /stock there, which fails. */
public class PinpointApp extends HttpServlet {
    // The agent does not see HttpURLConnection on Java 17.
    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        if (request.getPathInfo().equals("/stock")) {
            throw new IllegalStateException("no stock");
        }
        URI uri = URI.create("http://127.0.0.1:" + request.getParameter("port") + "/stock?of=7");
        try {
            CLIENT.sendAsync(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).get();
        } catch (Exception error) {
            throw new IOException(error);
        }
        response.getWriter().print("bought");
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", null);
        Wrapper wrapper = Tomcat.addServlet(context, "app", new PinpointApp());
        wrapper.setLoadOnStartup(1);
        context.addServletMappingDecoded("/*", "app");
        tomcat.start();
        System.out.println("port " + tomcat.getConnector().getLocalPort());
        while (System.in.read() >= 0) {
            // Until the input ends.
        }
        System.exit(0);
    }
}
