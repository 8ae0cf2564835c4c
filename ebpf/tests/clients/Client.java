import java.io.*;
import java.net.*;

/** A name a line: resolves it and connects to the first and the last address. */
public class Client {
    static String reach(InetAddress address) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(address, 80), 2000);
            return "0";
        } catch (IOException error) {
            return error.getMessage().replace(' ', '-');
        }
    }

    public static void main(String[] arguments) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String name; (name = lines.readLine()) != null; ) {
            try {
                InetAddress[] found = InetAddress.getAllByName(name);
                System.out.println(reach(found[0]) + " " + reach(found[found.length - 1]));
            } catch (UnknownHostException error) {
                System.out.println("unresolved");
            }
        }
    }
}
