import java.io.InputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509CRLEntry;
import java.security.cert.X509Certificate;
import java.util.Comparator;
import java.util.Set;

/** Verifies a CRL and counts what is on it. Arguments: the issuer's file and the CRL's. */
class ReadCrl {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        try (InputStream issuer = Files.newInputStream(Path.of(arguments[0]));
                InputStream stream = Files.newInputStream(Path.of(arguments[1]))) {
            X509CRL crl = (X509CRL) factory.generateCRL(stream);
            crl.verify(((X509Certificate) factory.generateCertificate(issuer)).getPublicKey());
            Set<? extends X509CRLEntry> entries = crl.getRevokedCertificates();
            BigInteger highest = entries == null ? BigInteger.ZERO : entries.stream()
                    .map(X509CRLEntry::getSerialNumber).max(Comparator.naturalOrder()).get();
            int count = entries == null ? 0 : entries.size();
            System.out.println("verified, " + count + " entries, highest " + highest.toString(16));
        }
    }
}
