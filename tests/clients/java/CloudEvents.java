// Reads a CloudEvent in JSON from each line of standard input, and writes what the SDK makes of it as a line of JSON.
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.core.provider.EventFormatProvider;
import io.cloudevents.jackson.JsonFormat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

public class CloudEvents {
    public static void main(String[] arguments) throws Exception {
        var format = EventFormatProvider.getInstance().resolveFormat(JsonFormat.CONTENT_TYPE);
        var json = new ObjectMapper();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            var event = format.deserialize(line.getBytes(StandardCharsets.UTF_8));
            ObjectNode found = json.createObjectNode();
            for (String name : event.getAttributeNames()) {
                found.put(name, event.getAttribute(name).toString());
            }
            for (String name : event.getExtensionNames()) {
                found.putPOJO(name, event.getExtension(name));
            }
            found.set("data", json.readTree(event.getData().toBytes()));
            output.println(json.writeValueAsString(found));
        }
    }
}
