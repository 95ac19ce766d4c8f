"""CaRE-SEP, query-based general sound separation, as a plugin for ESPnet."""
