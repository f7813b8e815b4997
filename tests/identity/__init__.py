"""Who is who, under attack and over years: forged, replayed and stolen words, keys that change, invitations, keys at rest."""
