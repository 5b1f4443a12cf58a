//! The DigitalOcean driver.
