"""The machinery of the tests and the demo: emulators, Terraform and stand-ins for what no emulator has."""
