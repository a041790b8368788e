import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Validates one certificate with PKIXRevocationChecker: by OCSP or by CRL alone, and nothing is forgiven.
 * Arguments: "ocsp" or "crl", the issuer's file, the subject's file, and a responder in place of the subject's.
 */
class Check {
    public static void main(String[] arguments) throws Exception {
        Set<Option> options = EnumSet.of(Option.NO_FALLBACK);
        if (arguments[0].equals("crl")) {
            options.add(Option.PREFER_CRLS);
        }
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        checker.setOptions(options);
        if (arguments.length > 3) {
            checker.setOcspResponder(new URI(arguments[3]));
        }
        PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(read(arguments[1]), null)));
        parameters.addCertPathChecker(checker);
        CertPath path = CertificateFactory.getInstance("X.509").generateCertPath(List.of(read(arguments[2])));
        try {
            validator.validate(path, parameters);
            System.out.println("VALID");
        } catch (CertPathValidatorException refused) {
            System.out.println(refused.getReason() + ": " + refused.getMessage());
            System.exit(1);
        }
    }

    static X509Certificate read(String file) throws Exception {
        try (InputStream stream = Files.newInputStream(Path.of(file))) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(stream);
        }
    }
}
