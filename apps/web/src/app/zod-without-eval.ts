import { z } from "zod";

// Zod would compile its parsers with `new Function`, which the content security policy forbids; even the attempt is
// reported as a violation. Imported before every schema.
z.config({ jitless: true });
