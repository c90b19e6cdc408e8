'use strict'

// What the real system does on its own when records are written: ids, numbers,
// first status codes, and the name of its account on a contact.

const cds = require('@sap/cds')
const { randomBytes } = require('node:crypto')

const id = () => '00163E' + randomBytes(13).toString('hex').toUpperCase()

module.exports = class extends cds.ApplicationService {
  async init () {
    let number = 1000000

    const name = (e, row) => {
      row.ObjectID ??= id()
      for (const n in e.compositions ?? {}) for (const c of row[n] ?? []) name(e.elements[n]._target, c)
    }
    this.before('CREATE', '*', req => name(req.target, req.data))
    this.before('CREATE', 'ContactCollection', req => {
      req.data.ContactID ??= String(++number)
      req.data.StatusCode ??= '2'
    })
    this.before('CREATE', 'CorporateAccountCollection', req => {
      req.data.AccountID ??= String(++number)
      req.data.LifeCycleStatusCode ??= '2'
      req.data.BusinessPartnerFormattedName = [req.data.Name, req.data.AdditionalName].filter(Boolean).join(' ')
    })
    this.before('CREATE', 'IndividualCustomerCollection', req => {
      req.data.CustomerID ??= String(++number)
      req.data.LifeCycleStatusCode ??= '2'
    })
    this.before('CREATE', ['VisitCollection', 'TasksCollection', 'PhoneCallCollection', 'EMailCollection'], req => {
      req.data.ID ??= String(++number)
      req.data.Status ??= '1'
    })
    this.before('CREATE', 'AppointmentCollection', req => {
      req.data.ID ??= String(++number)
      req.data.LifeCycleStatusCode ??= '1'
    })
    this.before(['CREATE', 'UPDATE'], 'ContactCollection', async req => {
      if (req.data.LastName === '') return req.reject(400, 'Last name is missing')
      if (req.data.AccountID === undefined) return
      req.data.AccountFormattedName = ''
      if (!req.data.AccountID) return
      const a = await SELECT.one.from('c4codataapi.CorporateAccountCollection').columns('BusinessPartnerFormattedName').where({ AccountID: req.data.AccountID })
      if (!a) return req.reject(400, 'Account does not exist')
      req.data.AccountFormattedName = a.BusinessPartnerFormattedName
    })
    return super.init()
  }
}
