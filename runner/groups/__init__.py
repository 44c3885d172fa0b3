"""Groups: their members, who was active when, whitelist, removal queue and history; imports of exports and lists."""
