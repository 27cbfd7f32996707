"""The same tests against the embedded Pub/Sub server and Google's emulator, through the real client library.

Where the two differ, Google's is right. What Google's emulator lacks is tested only on the embedded server; such a
test uses the fixture `embedded_bus` and says why.
"""
