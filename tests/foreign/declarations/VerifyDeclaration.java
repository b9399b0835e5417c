// Checks the signature of a day.declared.v1 with the JDK alone: java VerifyDeclaration.java < lines
//
// A line has four fields in base64, separated by spaces: public key (32 bytes); USCC, day and revision, with a line feed
// between each two; the bytes of data; the attribute signature. Each line is answered by true or false.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;

public class VerifyDeclaration {
    static final byte[] ED25519 = HexFormat.of().parseHex("302a300506032b6570032100");

    static byte[] statement(String named, byte[] data) throws Exception {
        String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
        return ("danbao declaration/v1\n" + named + "\n" + digest + "\n").getBytes(StandardCharsets.UTF_8);
    }

    static boolean holds(byte[] raw, String named, byte[] data, String attribute) throws Exception {
        byte[] encoded = new byte[ED25519.length + raw.length];
        System.arraycopy(ED25519, 0, encoded, 0, ED25519.length);
        System.arraycopy(raw, 0, encoded, ED25519.length, raw.length);
        PublicKey key = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded));
        Signature check = Signature.getInstance("Ed25519");
        check.initVerify(key);
        check.update(statement(named, data));
        return check.verify(Base64.getDecoder().decode(attribute.substring(9)));
    }

    public static void main(String[] ignored) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            byte[][] field = new byte[4][];
            String[] words = line.split(" ");
            for (int i = 0; i < 4; i++) {
                field[i] = Base64.getDecoder().decode(words[i]);
            }
            String named = new String(field[1], StandardCharsets.UTF_8);
            System.out.println(holds(field[0], named, field[2], new String(field[3], StandardCharsets.UTF_8)));
        }
    }
}
