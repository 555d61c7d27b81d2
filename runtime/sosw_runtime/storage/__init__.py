"""The only code that knows DynamoDB: one function per move in `tasks`, and what the moves stand on."""
