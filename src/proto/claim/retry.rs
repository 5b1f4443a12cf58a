//! Error class -> wait; the call budget.
