"""How long an example may take is no property of the code on a machine that does other things as well."""

from hypothesis import settings

settings.register_profile("domain", deadline=None)
settings.load_profile("domain")
