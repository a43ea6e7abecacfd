import { z } from "zod";

// Zod would compile its parsers with `new Function`, which the content security policy forbids. Even the attempt is
// reported as a violation. This module must be imported before every schema.
z.config({ jitless: true });
