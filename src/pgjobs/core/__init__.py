"""Values and checks that every package uses: errors, validation, text, settings. No SQL, no threads."""
