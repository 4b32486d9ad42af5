"""What a user does to runs after they ran: marks, removal, copies, verification, clean-up.

Invariant: nothing recorded is changed. A mark is a new file beside the others; what is removed
goes to the trash first; nothing is deleted that was not named before.
"""
