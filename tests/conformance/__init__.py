"""The same tests against the embedded Pub/Sub server and Google's emulator, through the real client library.

Where the two differ, Google's is right. What Google's emulator lacks is tested on the embedded server alone; such a
test takes the fixture `embedded_bus` and says why.
"""
